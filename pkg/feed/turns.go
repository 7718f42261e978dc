package feed

import (
	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/market"
)

// Several feeds of one source take turns: whoever holds the lease publishes, and the others
// stand by, with their sources running, so that bars are whole when their turn comes.

// turns begins and ends this feed's turn as the lease is got and lost.
func (f *Feed) turns() {
	p := f.pub
	switch {
	case p.lease == nil || !p.fell && p.active == p.lease.Held():
	case p.active:
		f.standDown()
	default:
		f.takeOver()
	}
}

// takeOver carries on after what the feed before has published. That one has stopped: who
// waits for a lease waits longer than who holds it.
func (f *Feed) takeOver() {
	for {
		var lines []*line
		for _, in := range f.all {
			for _, l := range in.lines {
				if l != nil && !l.opened {
					lines = append(lines, l)
				}
			}
		}
		if len(lines) == 0 {
			break
		}
		f.pub.open(lines) // lets others in: more may have come
	}
	f.pub.active = true
	f.pub.silent = nil
	f.pub.announce(f.all)
	f.log.Info("publishing: this feed has the lease", zap.Int("symbols", len(f.all)))
}

func (f *Feed) standDown() {
	p := f.pub
	p.active, p.fell = false, false
	for _, in := range f.all {
		for _, l := range in.lines {
			if l != nil {
				p.takeBack(l)
				l.opened = false
			}
		}
	}
	f.log.Warn("standing by: the lease is lost")
}

// takeBack gives the numbers of ticks that wait, and that nobody has seen, back.
func (p *publisher) takeBack(l *line) {
	l.seq -= int64(l.n)
	l.skipped += int64(l.n)
	p.stats.Events[l.stream.Channel] -= int64(l.n)
	l.buf, l.n, l.trace, l.times = l.buf[:0], 0, nil, nil
}

// missed leaves out one number for the trades that the source may have missed. What waits goes
// before: only a message's beginning can tell of it.
func (p *publisher) missed(l *line) {
	switch {
	case !p.active:
		l.passed = market.Trade{} // it is not the newest for sure
	case l.void == 0 && p.send(l):
		l.leaveOut(1)
	}
}

// skip passes a tick by that another feed publishes.
func (l *line) skip() bool {
	l.skipped++
	return true
}
