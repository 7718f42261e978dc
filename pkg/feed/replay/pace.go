package replay

import (
	"time"

	"go.uber.org/zap"
)

// A pace says when in one pass an event is due. Being counted from one moment, it does not
// drift.
type pace struct {
	Config
	log *zap.Logger

	now     time.Time // as read last
	started bool
	wall    time.Time // when the event of key zero is due
	zero    int64
	last    int64 // key of the last event
	shift   int64 // from recorded times to now
}

// begin sets the clock by the first event, and again after a silence too long to keep.
func (p *pace) begin(t *tape) {
	silence := time.Duration(t.key - p.last)
	p.last = t.key
	if p.started && silence < silenceMax {
		return
	}
	p.now = time.Now()
	if p.started && p.Speed > 0 {
		p.log.Info("silence left out", zap.Duration("silence", silence))
	}
	p.started = true
	p.wall, p.zero = p.now, t.key
	p.shift = p.now.UnixNano() - t.ev.time()
}

// wait is how long to wait for the event, by the clock as read last.
func (p *pace) wait(key int64) time.Duration {
	if p.Speed == 0 {
		return 0
	}
	return p.wall.Add(time.Duration(float64(key-p.zero) / p.Speed)).Sub(p.now)
}

// retime moves the event's time to now, if it should.
func (p *pace) retime(ev *event) {
	switch {
	case !p.Retime:
	case p.Speed == 1:
		ev.setTime(ev.time() + p.shift)
	default:
		ev.setTime(p.now.UnixNano())
	}
}
