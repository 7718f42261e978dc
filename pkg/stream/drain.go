package stream

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

// codeRestart is RFC 6455's for a service that restarts: come back elsewhere.
const (
	codeRestart = 1012
	// retryDrain is the time over which those who are sent away are asked to spread.
	retryDrain = 2 * time.Second
	// goodbyeMax is how much of a drain is left to those whose goodbye came last.
	goodbyeMax = time.Second
	// stopWithin is what the goodbyes of a node that stops without a drain may take.
	stopWithin = time.Second
	// drainStepMax is the longest pause between two goodbyes: a handful of sessions storms nobody.
	drainStepMax = 250 * time.Millisecond
)

// doors count the connections that are in, and those that are being upgraded. Once they are
// shut nobody gets in, so that to wait for the last one is to wait for all.
type doors struct {
	mu    sync.Mutex
	in    int
	shut  bool
	empty chan struct{} // closed when they are shut and nobody is in
}

func (d *doors) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.shut {
		d.in++
	}
	return !d.shut
}

func (d *doors) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.in--; d.in == 0 && d.shut {
		close(d.empty)
	}
}

// close shuts them and returns what tells that everybody has left.
func (d *doors) close() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.shut {
		d.shut = true
		if d.in == 0 {
			close(d.empty)
		}
	}
	return d.empty
}

// Drain sends every session away, spread over the given time, and returns when all are gone,
// when the time is over or when ctx ends. New upgrades are refused from its first moment on.
// What is left after that time is cut as soon as Run is told to end.
func (n *Node) Drain(ctx context.Context, over time.Duration) {
	n.draining.Store(true)
	gone := n.doors.close()
	total := n.sessions.Load()
	n.log.Info("draining", zap.Int64("sessions", total), zap.Duration("over", over))
	if total > 0 && over > 0 { // else Run says what goodbyes are left
		n.spread(ctx, gone, over)
	}
	n.log.Info("drained", zap.Int64("sessions_left", n.sessions.Load()))
}

// spread has the shards say their goodbyes, and waits for those who go.
func (n *Node) spread(ctx context.Context, gone <-chan struct{}, over time.Duration) {
	for i, sh := range n.shards {
		sh.do(func() { sh.drain(over-min(over/10, goodbyeMax), i, len(n.shards)) })
	}
	end := time.NewTimer(over)
	defer end.Stop()
	select {
	case <-gone:
	case <-end.C:
		n.overdue.Store(true)
	case <-ctx.Done():
	}
}

// drain spreads the shard's goodbyes evenly over the time; shards interleave. Whoever was let
// in before and opens later is sent away at once.
func (sh *shard) drain(over time.Duration, nth, of int) {
	sh.emptying = true
	step := min(int64(over)/int64(max(1, len(sh.sessions))), int64(drainStepMax))
	at := sh.now + step*int64(nth)/int64(of)
	for _, s := range sh.sessions {
		if s.leaving == nil {
			s.leaving = new(leaving)
		}
		s.leaving.at = max(1, at)
		sh.timers.sooner(s, at)
		at += step
	}
}

// dismiss sends every session away at once, those too that open later.
func (sh *shard) dismiss() {
	sh.emptying = true
	for _, s := range sh.sessions {
		s.sendAway()
	}
}

func (s *session) sendAway() { s.shut(codeRestart, "the node stops", retryDrain) }

// stop ends the connections and then the shards. After a drain whose time is over there is
// no more waiting.
func (n *Node) stop() {
	n.draining.Store(true)
	gone := n.doors.close()
	within := stopWithin
	if n.overdue.Load() {
		within = 0
	}
	end := time.Now().Add(within)
	for _, sh := range n.shards {
		sh.do(sh.dismiss)
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-gone:
	case <-timer.C:
	}
	n.engine.close(gone, max(0, time.Until(end)))
}
