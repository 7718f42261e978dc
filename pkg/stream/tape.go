package stream

import (
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/subscribe"
)

// shardsMax is the width of tape.wanted.
const shardsMax = 64

// A tape is one stream as this node follows it. The first group never changes; the rest is
// the ingest's, under its lock.
type tape struct {
	id      subscribe.ID
	stream  market.Stream
	subject string
	parser  codec.Parser
	view    int // of its ingest: ingest.n

	state   tapeState
	wanted  uint64       // one bit per shard in which a session named the stream
	last    int64        // seq of the newest tick seen; 0 = none yet
	tail    *codec.Chunk // ends with that tick
	waiting []grant      // sessions that wait for the last tick, or for what they missed
	named   bool         // subscribed upstream by itself
	idleAt  int64        // when the last shard let go
	listed  bool         // a feed announced the stream or published on it

	// trades only
	history   history
	bottom    int64  // the store has nothing before this seq
	held      []past // news from behind a hole that is being searched for
	heldBytes int
	searching bool // a search is under way, or due
}

type tapeState uint8

const (
	tapeIdle     tapeState = iota // not subscribed upstream; last may be out of date
	tapeFetching                  // subscribed; the stored last tick is being asked for
	tapeLive                      // subscribed, and last is true
)

// An item is one entry of a shard's inbox: ticks or a gap of a stream, or something to do, which
// with a tape is the grant of that stream to one session.
type item struct {
	tape  *tape
	chunk *codec.Chunk
	gap   *gap
	do    func()
	trace *trace // of the chunk; mostly nil
}

// itemOverhead is about what an item takes beside its ticks.
const itemOverhead = 100

// bytes is what the item weighs in an inbox. What is to do is bounded by who asks for it.
func (it *item) bytes() int {
	switch {
	case it.chunk != nil:
		return itemOverhead + len(it.chunk.Bytes)
	case it.gap != nil:
		return itemOverhead
	}
	return 0
}

type gap struct {
	from, to int64
	reason   codec.Reason
}

// newest is the last seq that has come, taken or held.
func (t *tape) newest() int64 {
	if n := len(t.held); n > 0 {
		return t.held[n-1].chunk.Last
	}
	return t.last
}
