//go:build race

package backpressure

func init() { raceEnabled = true }
