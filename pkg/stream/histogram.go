package stream

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// bucketsMax is what the longest of the bounds below needs, with one bucket beyond it.
const bucketsMax = 20

// Bounds are the upper edges of a histogram's buckets, both scaled by unit when they are
// told: times are counted in ns and told in seconds.
type bounds struct {
	edges []int64
	unit  float64
}

var (
	eventBounds   = bounds{[]int64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000}, 1}
	turnBounds    = bounds{[]int64{20e3, 50e3, 100e3, 200e3, 500e3, 1e6, 2e6, 5e6, 10e6, 20e6, 50e6, 100e6, 200e6, 500e6, 1e9}, 1e-9}
	latencyBounds = bounds{[]int64{100e3, 200e3, 500e3, 1e6, 2e6, 5e6, 10e6, 20e6, 50e6, 100e6, 200e6, 500e6, 1e9, 2e9, 5e9, 10e9}, 1e-9}
)

// bucket is where v is counted: a value on an edge belongs below it, as Prometheus has it. Most
// values are near the lower end, where looking at one edge after another beats a binary search.
func (b *bounds) bucket(v int64) int {
	for i, edge := range b.edges {
		if v <= edge {
			return i
		}
	}
	return len(b.edges)
}

// A histogram has one writer and any number of readers. A reader may see a value counted
// and not yet summed.
type histogram struct {
	counts [bucketsMax]atomic.Int64
	sum    atomic.Int64
}

func (h *histogram) add(b *bounds, v int64) {
	h.counts[b.bucket(v)].Add(1)
	h.sum.Add(v)
}

// A tally is a histogram's share of one turn, which only the turn touches.
type tally struct {
	counts [bucketsMax]int64
	sum    int64
	any    bool
}

func (t *tally) add(b *bounds, v int64) {
	t.counts[b.bucket(v)]++
	t.sum += v
	t.any = true
}

// take adds the tally and empties it.
func (h *histogram) take(t *tally) {
	if !t.any {
		return
	}
	for i, n := range t.counts {
		if n != 0 {
			h.counts[i].Add(n)
		}
	}
	h.sum.Add(t.sum)
	*t = tally{}
}

// metric returns the sum of the histograms, which share the bounds.
func (b *bounds) metric(desc *prometheus.Desc, all []*histogram, labels ...string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(b.edges))
	var below uint64
	for i, edge := range b.edges {
		for _, h := range all {
			below += uint64(h.counts[i].Load())
		}
		buckets[float64(edge)*b.unit] = below
	}
	count, sum := below, int64(0)
	for _, h := range all {
		count += uint64(h.counts[len(b.edges)].Load())
		sum += h.sum.Load()
	}
	return prometheus.MustNewConstHistogram(desc, count, float64(sum)*b.unit, buckets, labels...)
}
