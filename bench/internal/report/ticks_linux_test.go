package report

import (
	"math"
	"testing"

	"gonum.org/v1/plot"
	"pgregory.net/rapid"
)

// An axis has enough labels to be read and not so many that they touch, all within its ends.
func TestAxesAreLabelled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := math.Pow(10, rapid.Float64Range(-6, 9).Draw(t, "low"))
		high := low * rapid.Float64Range(1.5, 1000).Draw(t, "times")
		for name, ticker := range map[string]struct {
			plot.Ticker
			low, high   float64
			least, most int
		}{
			"from 0":      {steps{}, 0, high, 4, 11},
			"steps":       {steps{}, low, high, 3, 11},
			"logarithmic": {decades{}, low, low * rapid.Float64Range(5.1, 1e4).Draw(t, "decades"), 1, 14},
		} {
			labels, last := 0, math.Inf(-1)
			for _, tick := range ticker.Ticks(ticker.low, ticker.high) {
				if tick.Value < ticker.low*(1-1e-9) || tick.Value > ticker.high*(1+1e-9) || tick.Value <= last {
					t.Fatalf("%s: %v to %v has a tick at %v after %v", name, ticker.low, ticker.high, tick.Value, last)
				}
				last = tick.Value
				if tick.Label != "" {
					labels++
				}
			}
			if labels < ticker.least || labels > ticker.most {
				t.Errorf("%s: %v to %v has %d labels, want %d to %d", name, ticker.low, ticker.high, labels, ticker.least, ticker.most)
			}
		}
	})
}
