package fleet

import (
	"encoding/json"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latencyMax is the longest latency told apart, in µs; what takes longer counts as that.
const latencyMax = 120_000_000

// A Hist is a histogram of microseconds, to three digits. In JSON it is the base64 of HDR's
// own V2 form.
type Hist struct{ *hdrhistogram.Histogram }

// NewHist returns an empty one.
func NewHist() Hist { return Hist{hdrhistogram.New(1, latencyMax, 3)} }

// MarshalJSON implements json.Marshaler.
func (h Hist) MarshalJSON() ([]byte, error) {
	b, err := h.EncodeV2()
	if err != nil {
		return nil, err
	}
	return json.Marshal(string(b))
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *Hist) UnmarshalJSON(b []byte) (err error) {
	var text string
	if err = json.Unmarshal(b, &text); err != nil {
		return err
	}
	h.Histogram, err = hdrhistogram.Decode([]byte(text))
	return err
}

func (h Hist) record(us int64) { _ = h.RecordValue(min(max(us, 1), latencyMax)) }

// expectedMax bounds what correct adds for one message.
const expectedMax = 10_000

// correct records one message that came gap after the one before, on a connection that gets
// one every expected, and whose oldest event was us old. When a message is late, those that
// should have come meanwhile are missing from what was measured, and a plain histogram
// would forget them (coordinated omission): each is added with the age that it would have
// had. A delay that is the same for all messages leaves no gap, and adds nothing.
func (h Hist) correct(us, gap, expected int64) {
	h.record(us)
	if expected <= 0 || gap < 2*expected {
		return
	}
	stall := min(us, gap)
	for missing, n := stall-expected, 0; missing >= expected && n < expectedMax; missing, n = missing-expected, n+1 {
		h.record(missing)
	}
}

// Percentiles are what a table shows of a Hist, in µs.
type Percentiles struct {
	P50  int64 `json:"p50"`
	P90  int64 `json:"p90"`
	P99  int64 `json:"p99"`
	P999 int64 `json:"p99.9"`
	Max  int64 `json:"max"`
}

// Percentiles reads them off; all 0 for an empty Hist.
func (h Hist) Percentiles() Percentiles {
	if h.Histogram == nil || h.TotalCount() == 0 {
		return Percentiles{}
	}
	q := h.ValueAtQuantile
	return Percentiles{q(50), q(90), q(99), q(99.9), h.Max()}
}

// Distribution reads off pairs of a percentile and µs, more of them the rarer they get; nil
// for an empty Hist.
func (h Hist) Distribution() (all [][2]float64) {
	if h.Histogram == nil || h.TotalCount() == 0 {
		return nil
	}
	for _, p := range []float64{0, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.98, 99.99, 100} {
		all = append(all, [2]float64{p, float64(h.ValueAtQuantile(p))})
	}
	return all
}
