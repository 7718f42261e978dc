package feed

import (
	"bytes"
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

const (
	lastTimeout = 30 * time.Second
	lastTries   = 3 // of a source that can wait

	// ResetFor is how long a line's messages tell that its numbers began anew: a node that
	// comes back to NATS after the feed has not heard the first of them.
	ResetFor = 30 * time.Second
)

// open finds out where the numbers of lines begin: after the newest tick that the bus
// remembers, or, where it remembers none, at the clock, which is beyond any number that an
// earlier feed can have given (it would have had to publish a million ticks a second). A line
// whose last number was given here goes on from there if no other feed has: the ticks that
// came meanwhile count, so that subscribers hear of them as a gap.
// Where another feed was the last to publish, or an earlier run of this one, nobody knows how many
// trades came since, and one number stands for them all.
func (p *publisher) open(lines []*line) {
	if len(lines) == 0 {
		return
	}
	known := p.newest(lines)
	now := time.Now().UnixMicro()
	for _, l := range lines {
		e, ok := known[l.stream]
		switch {
		case ok && e.chunk.Last > l.seq:
			l.seq, l.last, l.lastLost = e.chunk.Last, e.chunk.LastRecord(), false
			l.unused, l.told = e.reset, true
			l.mark = -storeTurn // how long ago it was stored is not known
			if l.void = 0; p.live && !l.saw(e.chunk) {
				l.leaveOut(1)
			}
		case l.seq > 0: // ours, and nobody has gone on from there
			l.leaveOut(l.skipped)
			p.stats.Events[l.stream.Channel] += l.skipped
			p.stats.Lost += l.skipped
		default:
			l.seq, l.unused = now-1, now-1
			l.tellUntil = time.Now().Add(ResetFor)
		}
		l.opened, l.skipped = true, 0
	}
}

// leaveOut gives numbers to ticks that nobody will publish. Subscribers get a gap over them,
// before the next tick. Nothing may wait in the line.
func (l *line) leaveOut(n int64) {
	l.seq += n
	l.void += n
}

// saw says that nothing is missing behind the stream's last tick, which another feed published:
// it is also the newest that came here. Of quotes and bars only the newest counts in any case.
func (l *line) saw(last *codec.Chunk) bool {
	if l.stream.Channel != market.ChannelTrade {
		return true
	}
	l.passed.Seq = last.Last
	rec, err := codec.AppendTrade(nil, &l.passed)
	return err == nil && bytes.Equal(rec, last.LastRecord())
}

// An ending is the newest message of a stream, and the number up to which it says that none
// was used; 0 = it does not say.
type ending struct {
	chunk *codec.Chunk
	reset int64
}

// newest asks the bus for the lines' last messages, and lets others in meanwhile.
func (p *publisher) newest(lines []*line) map[market.Stream]ending {
	p.mu.Unlock()
	defer p.mu.Lock()
	streams := make([]market.Stream, len(lines))
	for i, l := range lines {
		streams[i] = l.stream
	}
	known := make(map[market.Stream]ending, len(lines))
	for try := 1; ; try++ {
		err := p.readLast(streams, known)
		if err == nil || p.ctx.Err() != nil {
			return known
		}
		p.log.Warn("last numbers unknown", zap.Int("streams", len(lines)), zap.Int("try", try), zap.Error(err))
		if p.live || try == lastTries || !p.pause(time.Second) {
			return known
		}
	}
}

func (p *publisher) readLast(streams []market.Stream, known map[market.Stream]ending) error {
	ctx, cancel := context.WithTimeout(p.ctx, lastTimeout)
	defer cancel()
	return p.bus.Last(ctx, streams, func(s market.Stream, body []byte) {
		c, reset, err := codec.ParseChunk(s, bytes.Clone(body))
		if err != nil {
			p.log.Warn("last message unreadable", zap.Stringer("stream", s), zap.Error(err))
			return
		}
		known[s] = ending{c, reset}
	})
}

func (p *publisher) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}
