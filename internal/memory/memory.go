// Package memory keeps a process that holds many small things for a long time small: it has
// the garbage collector leave room by what is garbage, and not by what is held.
package memory

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// By itself Go lets the heap grow to twice what is live: a node of 15,000 idle connections keeps
// as much again for garbage that it does not make, and one of a few hundred collects its 4 MB
// fifty times a second when ticks come fast. Room for so many bytes is enough for either, as
// long as that is at least a share of the heap that keeps collecting cheap.
const (
	room       = 8 << 20
	percentMin = 40
	percentMax = 200
)

// lookEvery is how often the live heap is looked at.
const lookEvery = time.Second

// Govern sets the collector's percentage by the live heap until ctx ends. It does nothing where
// GOGC is set: who sets it wants it so. GOMEMLIMIT holds in any case, as the runtime sees to.
func Govern(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for now := 100; ; {
		metrics.Read(live)
		// A change stops the world for some 20 µs.
		if want := percent(live[0].Value.Uint64()); want > now+now/8 || want < now-now/8 {
			debug.SetGCPercent(want)
			now = want
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

// percent is what GOGC is to be when so much is live.
func percent(live uint64) int {
	return int(min(percentMax, max(percentMin, room*100/max(live, 1))))
}
