package stream

import (
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// An incoming is a message that waits for the others of its read.
type incoming struct {
	subject string
	body    []byte
	header  map[string][]string
	tape    *tape // nil where the subject is new
}

// incomingMax is how many are taken at once. Shards want the lock too, in their turns: of some 20 ticks
// each, so many take well under 0.1 ms.
const incomingMax = 32

// message notes one upstream message. The messages of a read are taken together, by idle at the
// latest: each writes to a stream's memory that the core has not seen for a while, and to let go
// of the lock waits until that is done.
func (in *ingest) message(subject string, body []byte, header map[string][]string) {
	in.incoming = append(in.incoming, incoming{subject: subject, body: body, header: header})
	if len(in.incoming) == incomingMax {
		in.mu.Lock()
		in.takeIncoming()
		in.mu.Unlock()
	}
}

// takeIncoming takes the messages that wait. Caller holds mu.
func (in *ingest) takeIncoming() {
	if len(in.incoming) == 0 {
		return
	}
	in.at, in.wall = in.clock.now(), time.Now().UnixNano()
	in.now = in.at
	for i := range in.incoming { // by themselves, so that the core looks for several at a time
		in.incoming[i].tape = in.bySubject[in.incoming[i].subject]
	}
	for i := range in.incoming {
		in.takeOne(&in.incoming[i])
	}
	in.sum.messages += int64(len(in.incoming))
	clear(in.incoming)
	in.incoming = in.incoming[:0]
	in.at = 0
}

// takeOne takes one message. Caller holds mu.
func (in *ingest) takeOne(m *incoming) {
	t, c, reset, err := in.parse(m)
	if err != nil {
		in.bad(m.subject, err)
		return
	}
	t.listed = true
	switch {
	case t.state == tapeIdle && in.liveAll[t.stream.Channel]:
		t.state = tapeLive // new under the wildcard: it begins here
	case t.state == tapeIdle:
		return // a stray after Unsubscribe
	}
	if t.stream.Channel != market.ChannelBar && t.last > 0 && c.Last > t.newest() { // a bar's time is its beginning
		in.sum.lag.add(&latencyBounds, max(0, in.wall-c.LastTime()))
	}
	if m.header != nil {
		in.trace = in.traceOf(m.header, t, c)
	}
	in.accept(t, c, reset)
	in.trace = nil
}

// parse reads a message, which makes its stream known. Caller holds mu.
func (in *ingest) parse(m *incoming) (t *tape, c *codec.Chunk, reset int64, err error) {
	if t = m.tape; t != nil {
		c, reset, err = t.parser.Parse(m.body)
		return t, c, reset, err
	}
	s, err := in.up.ParseSubject(m.subject)
	if err == nil {
		err = market.CheckSymbol(s.Symbol)
	}
	if err == nil {
		c, reset, err = codec.ParseChunk(s, m.body)
	}
	if err != nil {
		return nil, nil, 0, err // nonsense makes no symbol known
	}
	return in.tapeOf(s), c, reset, nil
}

func (in *ingest) bad(subject string, err error) {
	if in.metrics.bad.Add(1)%1000 == 1 {
		in.log.Warn("upstream message refused", zap.String("subject", subject), zap.Error(err))
	}
}

// accept takes the ticks of c that are news. Numbers up to reset were never used. Trades
// from behind a hole wait until the store has been asked for what is missing. Caller holds mu.
func (in *ingest) accept(t *tape, c *codec.Chunk, reset int64) {
	newest := t.newest()
	if c.Last <= newest {
		in.metrics.stale.Add(int64(c.N))
		return
	}
	c.Stream, c.At = uint32(t.id), in.at
	p := past{chunk: c.From(newest + 1), reset: reset}
	hole := t.last > 0 && c.Begins() > max(t.last, reset)+1
	switch {
	case t.state != tapeLive || t.stream.Channel != market.ChannelTrade || len(t.held) == 0 && !hole:
		in.take(t, p)
	default:
		in.trace = nil // what it waits for is no part of the way
		in.hold(t, p)
	}
}

// take sends the ticks on, after a gap if numbers are missing between them and the last.
// Caller holds mu.
func (in *ingest) take(t *tape, p past) {
	c := p.chunk
	to := in.interested(t)
	if t.last > 0 && t.state == tapeLive {
		if p.reset > t.last {
			in.metrics.resets.Add(1)
			in.missed(t, to, min(p.reset, c.First-1), codec.ReasonReset)
		}
		if c.First > t.last+1 {
			in.metrics.gaps[t.stream.Channel].Add(1)
			in.metrics.lost.Add(c.First - 1 - t.last)
			in.missed(t, to, c.First-1, codec.ReasonUpstream)
		}
	}
	if t.state == tapeFetching && c.First != t.last+1 {
		in.forget(t) // nobody was told of the hole
	}
	t.last, t.tail = c.Last, c
	in.keep(t, p)
	in.sum.ticks += int64(c.N)
	if t.state == tapeLive {
		in.send(to, item{tape: t, chunk: c, trace: in.trace})
	}
}

// missed tells the shards that the numbers behind the last one, through the given one, will
// not come.
func (in *ingest) missed(t *tape, shards uint64, through int64, r codec.Reason) {
	in.send(shards, item{tape: t, gap: &gap{from: t.last + 1, to: through, reason: r}})
	t.last = through
}
