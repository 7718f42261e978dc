// Package contest does the same work with several servers in turn, each as a process on a
// core of its own with the subscribers on another, and says what each cost: medians of
// alternating repeats, their spread, and the ratio to the floor.
package contest

import (
	"math"
	"slices"
)

// A Spread is the median of some repeats, and the least and the most of them.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// NewSpread sorts values. It is all 0 for none.
func NewSpread(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	slices.Sort(values)
	n := len(values)
	return Spread{Median: (values[(n-1)/2] + values[n/2]) / 2, Min: values[0], Max: values[n-1]}
}

// Percent is half the distance from the least to the most, of the median.
func (s Spread) Percent() float64 {
	if s.Median == 0 {
		return 0
	}
	return 100 * (s.Max - s.Min) / 2 / math.Abs(s.Median)
}
