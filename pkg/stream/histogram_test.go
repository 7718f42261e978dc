package stream

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"pgregory.net/rapid"
)

func TestBoundsFit(t *testing.T) {
	for _, b := range []bounds{eventBounds, turnBounds, latencyBounds} {
		if len(b.edges) >= bucketsMax || !slices.IsSorted(b.edges) {
			t.Errorf("%v", b.edges)
		}
	}
}

// However values are spread over tallies and histograms, each bucket tells how many of them
// are not above its edge.
func TestHistogramCountsWhatIsNotAbove(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOf(rapid.Int64Range(0, 2*eventBounds.edges[len(eventBounds.edges)-1])).Draw(t, "values")
		var of [2]histogram
		var turn tally
		var sum int64
		for i, v := range values {
			sum += v
			if i%3 == 0 {
				of[0].add(&eventBounds, v)
				continue
			}
			turn.add(&eventBounds, v)
			if i%3 == 1 {
				of[1].take(&turn)
			}
		}
		of[1].take(&turn)
		var m dto.Metric
		if err := eventBounds.metric(prometheus.NewDesc("x", "", nil, nil), []*histogram{&of[0], &of[1]}).Write(&m); err != nil {
			t.Fatal(err)
		}
		h := m.GetHistogram()
		if h.GetSampleCount() != uint64(len(values)) || h.GetSampleSum() != float64(sum) {
			t.Errorf("count %d, sum %v; want %d, %d", h.GetSampleCount(), h.GetSampleSum(), len(values), sum)
		}
		for _, b := range h.GetBucket() {
			want := uint64(0)
			for _, v := range values {
				if float64(v) <= b.GetUpperBound() {
					want++
				}
			}
			if b.GetCumulativeCount() != want {
				t.Errorf("%d not above %v, want %d", b.GetCumulativeCount(), b.GetUpperBound(), want)
			}
		}
	})
}
