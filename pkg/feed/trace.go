package feed

import (
	"time"

	"github.com/tickcast/tickcast/pkg/market"
)

// A Traced is one tick that is followed: the first of its message that was chosen.
type Traced struct {
	Stream market.Stream
	Seq    int64
	Taken  time.Time // from the source
	Ticks  int       // in the message
}

// A TraceFunc is called before a traced tick is published, with the feed's lock held: it must
// not wait. The header that it returns goes with the message; published, which is called next
// if there is a header, says what became of it.
type TraceFunc func(Traced) (header map[string][]string, published func(error))

// A sampler chooses one trade or quote in so many.
type sampler struct {
	trace TraceFunc // nil: none is chosen
	every int
	since int // ticks since the last one
}

// taken is a tick that was chosen, until its message is sent.
type taken struct {
	seq int64
	at  time.Time
}

// took counts the line's newest tick. A bar is made here, and comes from no source.
func (s *sampler) took(l *line) {
	if s.trace == nil || l.stream.Channel == market.ChannelBar {
		return
	}
	if s.since++; s.since >= s.every {
		s.since = 0
		if l.trace == nil {
			l.trace = &taken{seq: l.seq, at: time.Now()}
		}
	}
}

// hand gives the bus what waits in the line, with the trace and the times of ticks among it.
func (p *publisher) hand(l *line) error {
	header, published := p.follow(l)
	if header = l.addTimes(header); header == nil {
		return p.bus.Publish(l.stream, l.buf)
	}
	err := p.bus.PublishWith(l.stream, l.buf, header)
	if published != nil {
		published(err)
	}
	return err
}

// follow begins the trace of a tick among those that wait, if one was chosen.
func (p *publisher) follow(l *line) (header map[string][]string, published func(error)) {
	t := l.trace
	if t == nil {
		return nil, nil
	}
	l.trace = nil // what is sent again is not followed again
	return p.traced.trace(Traced{Stream: l.stream, Seq: t.seq, Taken: t.at, Ticks: l.n})
}
