// Package memory keeps a process that holds many small things for a long time small: it has
// the garbage collector leave room by how fast garbage is made, and not by what is held.
package memory

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// By itself Go lets the heap grow to twice what is live. A node that holds 20 MB for 15,000
// subscribers and makes 1 MB of garbage a second keeps 20 MB more for that. Room for half a
// second's garbage has it collect twice a second. Where collecting so often would take more than
// a twentieth of the processors there is room for more: a node that receives 80,000 ticks a second
// of 10,000 symbols holds 100 MB, and spends 90 ms to find that.
const (
	roomMin     = 4 << 20
	percentMin  = 20
	percentMax  = 200
	secondsMin  = 0.5
	shareOfTime = 0.05
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
	var price float64 // of a collection, in seconds of all processors
	for set, last := 100, now; ; {
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
		if n := now.cycles - last.cycles; n > 0 {
			price = (now.collecting - last.collecting) / float64(n) / float64(runtime.GOMAXPROCS(0))
		}
		want := percent(now.live, now.allocated-last.allocated, price)
		last = now
		// A change stops the world for some 20 µs.
		if want > set+set/8 || want < set-set/8 {
			debug.SetGCPercent(want)
			set = want
		}
	}
}

// A heap is what the runtime says of itself.
type heap struct {
	live, goal uint64  // bytes: found alive by the last collection, and when the next one comes
	allocated  uint64  // since the start
	free       uint64  // bytes that hold nothing and are not the system's again
	cycles     uint64  // collections so far
	collecting float64 // seconds that they took of a processor, without those that had nothing else to do
}

func read() heap {
	s := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/goal:bytes"}, {Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/cpu/classes/gc/mark/idle:cpu-seconds"},
	}
	metrics.Read(s)
	return heap{
		live: s[0].Value.Uint64(), goal: s[1].Value.Uint64(), allocated: s[2].Value.Uint64(), free: s[3].Value.Uint64(), cycles: s[4].Value.Uint64(),
		collecting: s[5].Value.Float64() - s[6].Value.Float64(),
	}
}

// percent is what GOGC is to be when so many bytes are live, so many come in lookEvery, and a
// collection takes so many seconds.
func percent(live, allocated uint64, price float64) int {
	apart := max(secondsMin, price/shareOfTime)
	room := max(roomMin, float64(allocated)*apart/lookEvery.Seconds())
	return int(min(percentMax, max(percentMin, room*100/float64(max(live, 1)))))
}
