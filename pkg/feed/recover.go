package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// What happens when the bus goes away and comes back.

const (
	confirmTimeout = 500 * time.Millisecond
	finishTimeout  = 2 * time.Second
)

// onReconnect is called by the bus.
func (p *publisher) onReconnect() {
	p.again.Store(true)
	signal(p.back)
}

// note logs that publications fail, and that they work again.
func (p *publisher) note(err error) {
	if failed := err != nil; failed != p.losing {
		p.losing = failed
		if failed {
			p.log.Warn("bus refuses ticks", zap.Bool("waiting", !p.live), zap.Error(err))
		} else {
			p.log.Info("bus takes ticks again", zap.Int64("lost", p.stats.Lost))
		}
	}
}

// keep holds a copy of what was just published until the server has confirmed it.
func (p *publisher) keep(l *line) {
	if p.live {
		return
	}
	p.sent = append(p.sent, sentBody{l.stream, bytes.Clone(l.buf)})
	p.sentBytes += len(l.buf)
}

// catchUp sends again what a broken connection may have swallowed, in order (subscribers
// skip what they have), and asks the server to confirm it.
func (p *publisher) catchUp() bool {
	if p.again.Swap(false) {
		for _, b := range p.sent {
			if err := p.bus.Publish(b.stream, b.body); err != nil {
				p.note(err)
				p.again.Store(true)
				p.stuck = true
				return false
			}
		}
	}
	if len(p.sent) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(p.ctx, confirmTimeout)
	defer cancel()
	if err := p.bus.Flush(ctx); err != nil {
		if p.ctx.Err() == nil {
			p.note(fmt.Errorf("flush: %w", err))
		}
		// A server that is only slow has taken nothing amiss: more of the same would make
		// it slower.
		if !errors.Is(err, context.DeadlineExceeded) {
			p.again.Store(true)
		}
		p.stuck = true
		return false
	}
	clear(p.sent)
	p.sent, p.sentBytes = p.sent[:0], 0
	return true
}

// resume goes on after a trouble, real or possible.
func (p *publisher) resume() {
	if !p.live {
		if !p.catchUp() {
			return
		}
		if p.stuck {
			p.stuck = false
			close(p.freed)
			p.freed = make(chan struct{})
		}
	}
	p.flush()
}

// repeat publishes the line's last record once more, as it was. Where ticks before it must
// be sent again it waits for them, or subscribers would take these for lost.
func (p *publisher) repeat(l *line) {
	if l.n > 0 || l.last == nil || p.stuck || !p.live && p.again.Load() {
		return
	}
	body := append(l.leadAlways(nil), l.last...)
	if err := p.bus.Publish(l.stream, body); err != nil {
		return // away once more; its return brings us here again
	}
	p.published(l, len(body))
	if l.lastLost {
		l.lastLost = false
		p.stats.Lost--
	}
}

// tick is called every tickEvery.
func (p *publisher) tick() {
	p.timed.turn++
	switch {
	case p.stuck:
		p.resume()
	case !p.live:
		p.catchUp()
	}
	if len(p.silent) > 0 {
		list := p.silent
		p.silent = nil
		p.announce(list)
	}
}

// finish publishes the rest: for a source that is not live, when the bus takes it, or else
// until ctx ends; then what cannot be published is lost.
func (p *publisher) finish() {
	p.flush()
	for !p.live && (p.stuck || !p.catchUp()) {
		if !p.wait() {
			break
		}
		p.flush()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), finishTimeout)
	defer cancel()
	err := p.bus.Flush(ctx)
	if err != nil && p.live {
		err = p.bus.Flush(ctx) // the first may tell of a break long past: a live source never asked
	}
	if err != nil {
		p.note(err)
	}
	for _, l := range p.queue {
		p.stats.Lost += int64(l.n)
	}
}
