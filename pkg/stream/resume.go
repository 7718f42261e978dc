package stream

import (
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// begin sends what comes before a stream's first live event: its snapshot, or what the
// session missed since the seq it named.
func (s *session) begin(tl tail, snapshot bool, after int64) {
	switch {
	case snapshot:
		s.sh.rec = codec.AppendSnapshot(s.sh.rec[:0], tl.tape.stream, record(tl.chunk))
		s.control(s.sh.rec)
	case after == fresh || after >= tl.last || tl.chunk == nil:
	case tl.tape.stream.Channel == market.ChannelTrade:
		s.resume(tl, after)
	default:
		s.control(tl.chunk.LastRecord()) // conflated: the latest is all that counts
	}
}

// resume sends the trades after the seq, and a gap over those that are not held any more. They
// were asked for, so no policy drops them.
func (s *session) resume(tl tail, after int64) {
	if s.ending() {
		return
	}
	of, was := tl.tape.stream, s.queue.Footprint()
	tl.walk(after,
		func(c *codec.Chunk) { s.queue.Backfill(c, s.sh.now) },
		func(g gap) { s.queue.Gap(of, uint32(tl.tape.id), g.from, g.to, g.reason) })
	s.grew(s.queue.Footprint() - was)
	s.mark()
}

// walk calls tick or miss for all that came after the seq, in order: every number through
// the last once.
func (tl tail) walk(after int64, tick func(*codec.Chunk), miss func(gap)) {
	next := after + 1
	missed := func(through, reset int64, r codec.Reason) {
		if reset = min(reset, through); next <= reset {
			miss(gap{from: next, to: reset, reason: codec.ReasonReset})
			next = reset + 1
		}
		if next <= through {
			miss(gap{from: next, to: through, reason: r})
			next = through + 1
		}
	}
	for i, p := range tl.past {
		c := p.chunk.From(next)
		if i == 0 {
			missed(c.Begins()-1, tl.reset, codec.ReasonHistory)
			missed(c.First-1, 0, codec.ReasonUpstream)
		} else {
			missed(c.First-1, p.reset, codec.ReasonUpstream)
		}
		tick(c)
		next = c.Last + 1
	}
	missed(tl.last, tl.reset, codec.ReasonHistory)
}

func record(tail *codec.Chunk) []byte {
	if tail == nil {
		return nil
	}
	return tail.LastRecord()
}
