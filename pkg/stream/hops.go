package stream

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
)

// A hop is one part of a tick's way to this node's sockets. Feeds have one message in some tell
// its times; what is known of the way is known from those.
type hop uint8

const (
	hopVenue hop = iota // the event's own time ... taken by the feed
	hopFeed             // ... published
	hopNATS             // ... taken by the ingest
	hopNode             // ... flushed
	hopCount
)

func (h hop) String() string { return [hopCount]string{"venue", "feed", "nats", "node"}[h] }

const (
	// hopFor is how long a sample counts, and hopSamplesMax how many do.
	hopFor        = time.Minute
	hopSamplesMax = 1024
)

// hops are one ingest's samples. Late ingests get no times, and so have none to tell.
type hops struct {
	told  atomic.Pointer[codec.Hops] // nil = nothing known
	since [hopCount]histogram        // the node's start; written under mu

	mu     sync.Mutex
	recent [hopCount][]sample // a ring, once it is full
	next   [hopCount]int
}

type sample struct{ at, took int64 } // node's clock, ns

func (h *hops) add(of hop, now, took int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	// Below zero are the clocks, not the way, and a histogram's sum must not fall.
	h.since[of].add(&latencyBounds, max(0, took))
	if s := (sample{now, took}); len(h.recent[of]) < hopSamplesMax {
		h.recent[of] = append(h.recent[of], s)
	} else {
		h.recent[of][h.next[of]] = s
		h.next[of] = (h.next[of] + 1) % hopSamplesMax
	}
}

// came adds what a message tells that reached the node now, at wall in Unix ns. What takes a
// day is no way: a recording has its own times, and a header may hold anything.
func (h *hops) came(t codec.Times, now, wall int64) {
	for of, took := range [...]int64{hopVenue: t.Taken - t.Event, hopFeed: t.Published - t.Taken, hopNATS: wall - t.Published} {
		if -int64(believedAge) < took && took < int64(believedAge) {
			h.add(hop(of), now, took)
		}
	}
}

// sum has sessions told what is known now.
func (h *hops) sum(now int64) {
	var all codec.Hops
	var took []int64
	for of, to := range [hopCount]**codec.Hop{&all.Venue, &all.Feed, &all.NATS, &all.Node} {
		took = took[:0]
		h.mu.Lock()
		for _, s := range h.recent[of] {
			if now-s.at < int64(hopFor) {
				took = append(took, s.took)
			}
		}
		h.mu.Unlock()
		if n := len(took); n > 0 {
			slices.Sort(took)
			*to = &codec.Hop{Median: time.Duration(took[(n-1)/2]), P99: time.Duration(took[(n*99+99)/100-1])}
		}
	}
	if all == (codec.Hops{}) {
		h.told.Store(nil)
	} else {
		h.told.Store(&all)
	}
}

// hops is what the session may know of the way. One without a subscription has none to know of.
func (s *session) hops() codec.Hops {
	told := s.view.in.hops.told.Load()
	if told == nil || s.set.Len() == 0 && s.wildcards() == 0 {
		return codec.Hops{}
	}
	return *told
}

// A timing is a tick with known times, on its way through a shard.
type timing struct {
	hops *hops
	at   int64 // when it reached the node
}

// endTimings notes how long the node took over what has been flushed by now.
func (g *group) endTimings(now int64) {
	if g.flushed == g.sh.now {
		for _, t := range g.timings {
			t.hops.add(hopNode, now, now-t.at)
		}
	}
	clear(g.timings)
	g.timings = g.timings[:0]
}
