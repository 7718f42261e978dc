package stream

import (
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/codec"
)

const (
	// slowCheck is how often a session that is behind is looked at.
	slowCheck = 250 * time.Millisecond
	// A session calls itself slow when its oldest event is older than slowAge, and no more
	// when that is below half of it.
	slowAge = time.Second
	// retrySlow is what a subscriber that was cut for slowness is told to wait.
	retrySlow = time.Second
)

// watch has the session looked at soon while it is behind.
func (s *session) watch() { s.sh.timers.sooner(s, s.sh.now+int64(slowCheck)) }

// checkSlow judges the session by how long it has been over its budget, and by how long its
// peer has taken no byte.
func (s *session) checkSlow() {
	now := s.sh.now
	switch {
	case !s.queue.Over():
		s.overSince = 0
	case s.overSince == 0:
		s.overSince = now
	}
	if s.busy {
		if n := s.untaken(); n != s.waiting {
			s.waiting, s.stuckAt = n, now
		}
	}
	s.judge()
	switch limit := s.sh.cfg.SlowTimeout; {
	case s.overSince != 0 && s.since(s.overSince) >= limit:
		s.evict("over its budget for the slow timeout")
	case s.busy && s.stuckFor() >= limit:
		s.evict("took no byte for the slow timeout")
	}
}

// untaken counts what was sent and the peer has not acknowledged: what the kernel has not
// taken, and, where it tells, what it holds itself. A peer that reads a little at a time
// makes room in the kernel only now and then, but each byte shows here.
func (s *session) untaken() int { return s.wire.Waiting() + s.wire.Kernel().Queued }

// judge keeps what stat events and /v1/sessions say, with some hysteresis.
func (s *session) judge() {
	late := max(s.age(), s.stuckFor())
	s.slow = s.queue.Over() || s.overSince != 0 || late > slowAge || s.slow && late > slowAge/2
}

// age is how long the oldest event has waited.
func (s *session) age() time.Duration { return s.since(s.queue.OldestAt()) }

func (s *session) since(at int64) time.Duration {
	if at == 0 {
		return 0
	}
	return time.Duration(s.sh.now - at)
}

func (s *session) stuckFor() time.Duration {
	if !s.busy {
		return 0
	}
	return s.since(s.stuckAt)
}

func (s *session) pendingBytes() int {
	n := s.queue.Bytes()
	for i := range s.lanes {
		n += s.lanes[i].hold.Bytes()
	}
	return n
}

// evict cuts a slow consumer: what waits is given up, so that bye has a chance.
func (s *session) evict(why string) {
	if s.ending() {
		return
	}
	sh := s.sh
	s.tellCut(why)
	sh.counts.evicted.Add(1)
	s.queue.Clear()
	s.queue.Init(s.enc, sh.cfg.PendingBytes)
	s.lanes = nil
	s.shut(int(codec.CodeSlowConsumer), "slow consumer", retrySlow)
	s.leaving.closeBy = sh.now + int64(time.Second)
	sh.timers.sooner(s, s.leaving.closeBy)
}

// A shard says of so many whom it cuts why, and of the others how many they were: a crowd that
// reads nothing is not to fill a disk.
const (
	cutsToldPerSecond = 2
	cutsToldAtOnce    = 20
)

func (s *session) tellCut(why string) {
	sh := s.sh
	if !sh.cutsTold.take(sh.now, cutsToldPerSecond, cutsToldAtOnce) {
		sh.cutsUntold++
		return
	}
	kernel := s.wire.Kernel()
	sh.log.Info("slow consumer cut", zap.String("session", s.id()), zap.String("remote", s.remote),
		zap.String("reason", why), zap.Int("pending_bytes", s.pendingBytes()), zap.Duration("oldest", s.age()),
		zap.Duration("over_for", s.since(s.overSince)), zap.Duration("stuck_for", s.stuckFor()),
		zap.Int("unacked_bytes", kernel.Queued), zap.Int("unsent_bytes", kernel.NotSent), zap.Duration("rtt", kernel.RTT),
		zap.Int64("dropped", s.total.dropped), zap.Int64("conflated", s.total.conflated), zap.Int("untold_before", sh.cutsUntold))
	sh.cutsUntold = 0
}

func (s *session) sendStat() {
	st := s.stats
	if st == nil || s.sh.now < st.due {
		return
	}
	st.due += st.every * ((s.sh.now-st.due)/st.every + 1)
	s.judge()
	now := s.total
	s.sh.rec = codec.AppendStat(s.sh.rec[:0], &codec.Stat{
		PendingBytes: int64(s.pendingBytes()), QueueAgeMS: s.age().Milliseconds(), Slow: s.slow,
		Conflated: now.conflated - st.last.conflated, Dropped: now.dropped - st.last.dropped,
		Aggregated: now.aggregated - st.last.aggregated, Sent: now.events - st.last.events,
		Hops: s.hops(),
	})
	st.last = now
	s.control(s.sh.rec)
}
