package stream

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
)

const (
	// slowCheck is how often a session that is behind is looked at.
	slowCheck = 250 * time.Millisecond
	// A session calls itself slow when its oldest event is older than slowAge, and no more
	// when that is below half of it.
	slowAge = time.Second
	// relieveEvery is how often the memory of those behind is summed up: about 20 ns each.
	relieveEvery = 5 * time.Millisecond
	// relieveShare of what they may hold is kept free: what queues need besides what was pushed
	// to them goes there. Twice as much is made free at once.
	relieveShare = 16
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
	kernel := s.wire.Kernel()
	sh.log.Info("slow consumer cut", zap.String("session", s.id()), zap.String("remote", s.remote),
		zap.String("reason", why), zap.Int("pending_bytes", s.pendingBytes()), zap.Duration("oldest", s.age()),
		zap.Duration("over_for", s.since(s.overSince)), zap.Duration("stuck_for", s.stuckFor()),
		zap.Int("unacked_bytes", kernel.Queued), zap.Int("unsent_bytes", kernel.NotSent), zap.Duration("rtt", kernel.RTT),
		zap.Int64("dropped", s.total.dropped), zap.Int64("conflated", s.total.conflated))
	sh.counts.evicted.Add(1)
	s.queue.Clear()
	s.queue.Init(s.enc, sh.cfg.PendingBytes)
	s.lanes = nil
	s.shut(int(codec.CodeSlowConsumer), "slow consumer", retrySlow)
	s.leaving.closeBy = sh.now + int64(time.Second)
	sh.timers.sooner(s, s.leaving.closeBy)
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

// load has the memory of the session's queue and lanes watched while they hold anything
// from one turn to the next.
func (s *session) load() {
	if !s.laden {
		s.laden = true
		s.sh.laden = append(s.sh.laden, s)
	}
}

// relieveGrown keeps to the bound within a turn: one that brings what came in a second, to
// thousands that do not read, would go far beyond it.
func (sh *shard) relieveGrown() {
	if sh.held+sh.grown > sh.memory-sh.memory/relieveShare {
		sh.relieve()
	}
}

// relieve keeps what all slow sessions together hold under the shard's share of the node's
// memory. Those that hold the most give first, down to one level for all of them, and those
// below it, the healthy among them, give nothing.
func (sh *shard) relieve() {
	held, total, slow := sh.laden[:0], 0, 0
	for _, s := range sh.laden {
		if s.ending() || !s.busy && s.pendingBytes() == 0 {
			s.laden = false
			s.queue.Relax(sh.cfg.PendingBytes)
			continue
		}
		held = append(held, s)
		total += s.footprint()
		if s.slow {
			slow++
		}
	}
	clear(sh.laden[len(held):])
	sh.laden = held
	sh.relieved, sh.held, sh.grown = sh.now, total, 0
	sh.counts.ladenBytes.Store(int64(total))
	sh.counts.slow.Store(int64(slow))
	if total <= sh.memory-sh.memory/relieveShare {
		if total <= sh.memory/2 {
			for _, s := range sh.laden {
				s.queue.Relax(sh.cfg.PendingBytes)
			}
		}
		return
	}
	sh.held = sh.memory - 2*sh.memory/relieveShare
	level := sh.level(sh.held)
	for _, s := range sh.laden {
		if n := s.footprint(); n > level {
			s.squeeze(level)
		}
	}
}

// level is the footprint that each laden session may keep so that all together have most.
func (sh *shard) level(most int) int {
	sizes := sh.sizes[:0]
	for _, s := range sh.laden {
		sizes = append(sizes, s.footprint())
	}
	slices.Sort(sizes)
	sh.sizes = sizes
	for i, n := range sizes {
		if rest := len(sizes) - i; n*rest > most {
			return max(0, most/rest)
		}
		most -= n
	}
	return most
}

// footprint is the memory that the session holds on to beyond an idle one.
func (s *session) footprint() int {
	n := s.queue.Footprint() + s.wire.Waiting()
	for i := range s.lanes {
		n += s.lanes[i].hold.Footprint()
	}
	return n
}

// squeeze brings the session's memory down to the level by its policies, or cuts it if they
// give up too little.
func (s *session) squeeze(level int) {
	budget := s.queue.Bytes() / max(1, s.footprint()/max(1, level)+1)
	var o backpressure.Outcome
	for i := range s.lanes {
		o.Add(s.lanes[i].hold.Squeeze(budget))
	}
	o.Add(s.queue.Squeeze(budget))
	s.count(o)
	if s.footprint() > level {
		s.evict("the node is short of memory and this session holds the most")
	}
}
