package stream

import (
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/tickcast/tickcast/pkg/codec"
)

// counters are what a session and a turn both count.
type counters struct {
	events, batches, bytes         int64
	conflated, dropped, aggregated int64
}

// turnCounts are gathered during a turn and published once at its end.
type turnCounts struct {
	counters
	gaps        gapCounts
	closes      [len(closeCodes) + 1]int64
	batchEvents tally
}

type gapCounts [len(codec.GapCounts{})]int64

// shardCounts are read by other goroutines at any time.
type shardCounts struct {
	events, batches, bytes         atomic.Int64
	conflated, dropped, aggregated atomic.Int64
	subscriptions, evicted, opened atomic.Int64
	ladenBytes, slow               atomic.Int64 // kept by relieve
	unproven                       atomic.Int64 // sessions whose token has yet to come
	wire                           atomic.Int64 // bytes that the kernel took; the engine's to count
	gaps                           [len(gapCounts{})]atomic.Int64
	closes                         [len(closeCodes) + 1]atomic.Int64
	batchEvents, turn, delivery    histogram
}

// closeAbnormal is how RFC 6455 calls an end without a close frame.
const closeAbnormal = 1006

// closeCodes are the close codes that are told apart; what a subscriber makes up is "other".
var closeCodes = [...]int{1000, 1001, 1002, 1003, 1005, closeAbnormal, 1007, 1009, 1011, codeRestart, 1013, 4401, 4408, 4429}

// closeIndex is where a close code is counted.
func closeIndex(code int) int {
	if i := slices.Index(closeCodes[:], code); i >= 0 {
		return i
	}
	return len(closeCodes)
}

// closeLabel is the inverse of closeIndex.
func closeLabel(i int) string {
	if i == len(closeCodes) {
		return "other"
	}
	return strconv.Itoa(closeCodes[i])
}

// refusedUnread stands for the status of connections that were closed before they had asked.
const refusedUnread = "unread"

// refusedWith are the HTTP statuses that an upgrade request may be answered with.
var refusedWith = [...]string{"400", "401", "403", "405", "426", "429", "503", refusedUnread}

func (n *Node) countRefused(status string) {
	n.refused[slices.Index(refusedWith[:], status)].Add(1)
}

// publishCounts ends the turn. What it took, and how long the oldest tick took to the
// sockets, is the turn's only second look at the clock.
func (sh *shard) publishCounts() {
	c, s := &sh.counts, &sh.sum
	c.events.Add(s.events)
	c.batches.Add(s.batches)
	c.bytes.Add(s.bytes)
	c.conflated.Add(s.conflated)
	c.dropped.Add(s.dropped)
	c.aggregated.Add(s.aggregated)
	for i, n := range s.gaps {
		if n != 0 {
			c.gaps[i].Add(n)
		}
	}
	for i, n := range s.closes {
		if n != 0 {
			c.closes[i].Add(n)
		}
	}
	c.batchEvents.take(&s.batchEvents)
	*s = turnCounts{}

	end := sh.clock.now()
	c.turn.add(&turnBounds, end-sh.now)
	for i := range sh.groups {
		g := &sh.groups[i]
		if g.arrived != 0 && len(g.dirty) == 0 && len(g.gathered) == 0 {
			g.endTimings(end)
			if g.flushed == sh.now {
				c.delivery.add(&latencyBounds, end-g.arrived)
			}
			g.arrived = 0
		}
	}
}
