package fleet

import (
	"encoding/json"
	"testing"
)

func TestALateMessageStandsForThoseThatItHeldUp(t *testing.T) {
	for _, tt := range []struct {
		name              string
		us, gap, expected int64
		want              int64 // values recorded
	}{
		{"in time", 5, 10, 10, 1},
		{"late as a whole, like all before it", 100, 10, 10, 1},
		{"a stall of ten messages", 100, 100, 10, 10},
		{"a stall longer than the oldest event waited", 30, 100, 10, 3},
		{"nothing is known of the pace", 100, 100, 0, 1},
		{"a stall of a day is bounded", 1e9, 1e9, 1, expectedMax + 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := NewHist()
			h.correct(tt.us, tt.gap, tt.expected)
			if got := h.TotalCount(); got != tt.want {
				t.Errorf("recorded %d values, want %d", got, tt.want)
			}
		})
	}
}

func TestHistogramsSurviveJSON(t *testing.T) {
	h := NewHist()
	for i := range int64(1000) {
		h.record(i * i)
	}
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var back Hist
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if h.Percentiles() != back.Percentiles() {
		t.Errorf("%+v became %+v", h.Percentiles(), back.Percentiles())
	}
}
