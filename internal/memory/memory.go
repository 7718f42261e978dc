// Package memory keeps a process that holds many small things for a long time small: it has
// the garbage collector leave room by how fast garbage is made, and not by what is held.
package memory

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// By itself Go lets the heap grow to twice what is live. A node that holds 20 MB for 15,000
// subscribers and makes 1 MB of garbage a second keeps 20 MB more for that. Room for half a
// second's garbage has it collect twice a second, whatever is live.
const (
	roomMin    = 4 << 20
	percentMin = 20
	percentMax = 200
)

// lookEvery is how often heap and garbage are looked at.
const lookEvery = time.Second

// Govern sets the collector's percentage by the live heap and what was allocated lately, and gives
// back what a crowd has left, until ctx ends. It does nothing where GOGC is set: who sets it wants
// it so. GOMEMLIMIT holds in any case, as the runtime sees to.
func Govern(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	now := read()
	r := newRest(now)
	for set, allocated := 100, now.allocated; ; {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if now = read(); r.over(now) {
			before := now.live
			debug.FreeOSMemory()
			now = read()
			r.began(before, now)
		}
		want := percent(now.live, now.allocated-allocated)
		allocated = now.allocated
		// A change stops the world for some 20 µs.
		if want > set+set/8 || want < set-set/8 {
			debug.SetGCPercent(want)
			set = want
		}
	}
}

// A heap is what the runtime says of itself.
type heap struct {
	live, goal uint64 // bytes: found alive by the last collection, and when the next one comes
	allocated  uint64 // since the start
	free       uint64 // bytes that hold nothing and are not the system's again
	cycles     uint64 // collections so far
}

func read() heap {
	s := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/goal:bytes"}, {Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(s)
	return heap{s[0].Value.Uint64(), s[1].Value.Uint64(), s[2].Value.Uint64(), s[3].Value.Uint64(), s[4].Value.Uint64()}
}

// percent is what GOGC is to be when so many bytes are live, and so many come in lookEvery.
func percent(live, allocated uint64) int {
	room := max(roomMin, allocated/2)
	return int(min(percentMax, max(percentMin, room*100/max(live, 1))))
}
