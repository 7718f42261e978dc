package stream

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"github.com/tickcast/tickcast/pkg/backpressure"
)

// What all that are behind hold together is bounded. Each may stay within its own budget, and
// thousands of them would still take more than the node has. Who gives then is a matter of who
// is how late, and only then of who holds how much: those whose peers have taken nothing for the
// longest give first, by their policies, and before anybody later than them is out of anything to
// give, the others give nothing. Readers that were a moment behind would otherwise pay for what
// stalled ones pile up, since at a small bound each stalled one holds little.

const (
	// relieveEvery is how often the memory of those behind is summed up when there may be little
	// left, and idleEvery when there is plenty: it takes some 20 ns for each of them.
	relieveEvery = 5 * time.Millisecond
	idleEvery    = 50 * time.Millisecond
	// relieveShare of what they may hold is kept free. Twice as much is made free at once.
	relieveShare = 16
	// momentTier is that of sessions that are a moment behind, at the most: some 250 ms.
	momentTier = 8
)

// A burden is what a session holds, and how late it is.
type burden struct {
	*session
	tier  int // as late as another of its tier, within a factor of two
	bytes int
}

// load has the memory of the session watched while its queue and lanes hold anything from one turn
// to the next.
func (s *session) load() {
	if !s.laden {
		s.laden = true
		s.sh.laden = append(s.sh.laden, s)
		s.sh.grown += s.footprint()
	}
}

// grew notes that the session holds more, by so much.
func (s *session) grew(bytes int) {
	if s.laden {
		s.sh.grown += bytes
	}
}

// late is for how long the peer has taken nothing, or, where it takes too little, how old what it
// is sent would be. One that takes what there is as often as it gets to it is not late by what
// came meanwhile.
func (s *session) late() time.Duration {
	late := s.stuckFor()
	if age := s.age(); age > slowAge {
		late = max(late, age)
	}
	return late
}

// relieveGrown keeps to the bound within a turn: one that brings what came in a second, to
// thousands that do not read, would go far beyond it.
func (sh *shard) relieveGrown() {
	if sh.held+sh.grown > sh.memory-sh.memory/relieveShare {
		sh.relieve()
	}
}

// relieveDue says whether it is time to sum up what those behind hold. That is also what lets go
// of those who are so no more, and what the metrics tell.
func (sh *shard) relieveDue() bool {
	every := idleEvery
	if sh.held+sh.grown > sh.memory/2 {
		every = relieveEvery
	}
	return len(sh.laden) > 0 && sh.now-sh.relieved >= int64(every)
}

// relieve keeps what all slow sessions together hold under the shard's share of the node's
// memory.
func (sh *shard) relieve() {
	burdens, total, slow := sh.burdens[:0], 0, 0
	for _, s := range sh.laden {
		if s.ending() || !s.busy && s.pendingBytes() == 0 {
			s.laden = false
			s.relax()
			continue
		}
		b := burden{s, bits.Len64(uint64(s.late() / time.Millisecond)), s.footprint()}
		burdens = append(burdens, b)
		total += b.bytes
		if s.slow {
			slow++
		}
	}
	sh.counts.ladenBytes.Store(int64(total))
	sh.counts.slow.Store(int64(slow))
	switch {
	case total > sh.memory-sh.memory/relieveShare:
		total = trim(burdens)
		if most := sh.memory - 2*sh.memory/relieveShare; total > most {
			total = lighten(burdens, total, most)
		}
	case total <= sh.memory/2:
		for _, b := range burdens {
			b.relax()
		}
	}
	for i, b := range burdens {
		sh.laden[i] = b.session
	}
	clear(sh.laden[len(burdens):])
	sh.laden = sh.laden[:len(burdens)]
	clear(burdens)
	sh.burdens = burdens
	sh.relieved, sh.held, sh.grown = sh.now, total, 0
}

// trim frees what the queues do not fill, which costs nobody an event, and returns what all hold.
func trim(all []burden) (total int) {
	for i := range all {
		b := &all[i]
		b.queue.Trim()
		for l := range b.lanes {
			b.lanes[l].hold.Trim()
		}
		b.bytes = b.footprint()
		total += b.bytes
	}
	return total
}

// lighten has sessions give until they hold no more than that, and returns what they hold: the
// latest first, down to one level for all of a tier, which may be nothing. Within a tier those
// below the level give nothing. Who queues more than an equal share and cannot give is cut. Before
// those who are a moment behind give anything, the latest are cut for what they hold besides, such
// as a message that is half sent. If all that is not enough, all are brought down to one level,
// whoever they are.
func lighten(all []burden, total, most int) int {
	slices.SortFunc(all, func(a, b burden) int {
		return cmp.Or(cmp.Compare(b.tier, a.tier), cmp.Compare(a.bytes, b.bytes))
	})
	share := most / len(all)
	spared := true
	for from := 0; from < len(all) && total > most; {
		if spared && all[from].tier <= momentTier {
			spared = false
			total = cut(all[:from], total, most, share)
			continue
		}
		to := from + 1
		for to < len(all) && all[to].tier == all[from].tier {
			to++
		}
		total = lower(all[from:to], total, most, share)
		from = to
	}
	if total > most {
		slices.SortFunc(all, func(a, b burden) int { return cmp.Compare(a.bytes, b.bytes) })
		if total = lower(all, total, most, 0); total > most {
			slices.Reverse(all)
			total = cut(all, total, most, most/len(all))
		}
	}
	return total
}

// cut ends the sessions of the list that hold more than the share until the total is no more than
// that, and returns the new total.
func cut(list []burden, total, most, share int) int {
	for i := 0; i < len(list) && total > most; i++ {
		if b := &list[i]; b.bytes > share {
			b.evict(whyShort)
			total, b.bytes = total-b.bytes, 0
		}
	}
	return total
}

// lower brings sessions, the smallest first, down to one level until the total is no more than
// that, or they have nothing more to give, and cuts those who then queue more than what each may
// keep at the least. It returns the new total.
func lower(list []burden, total, most, keep int) int {
	others := total
	for i := range list {
		others -= list[i].bytes
	}
	level := levelOf(list, most-others)
	for i := len(list) - 1; i >= 0 && list[i].bytes > level && total > most; i-- {
		b := &list[i]
		total -= b.bytes
		b.bytes = b.squeeze(level, max(level, keep))
		total += b.bytes
	}
	return total
}

// levelOf is what each of the list, the smallest first, may hold so that all together have most.
func levelOf(list []burden, most int) int {
	for i, b := range list {
		if rest := len(list) - i; b.bytes*rest > most {
			return max(0, most/rest)
		}
		most -= b.bytes
	}
	return most
}

// footprint is the memory that the session holds on to beyond an idle one.
func (s *session) footprint() int {
	return s.wire.Waiting() + s.queued()
}

// queued is the part of it that queues have.
func (s *session) queued() int {
	n := s.queue.Footprint()
	for i := range s.lanes {
		n += s.lanes[i].hold.Footprint()
	}
	return n
}

// relax lets the session have all of its budget again.
func (s *session) relax() {
	s.queue.Relax(s.sh.cfg.PendingBytes)
	for i := range s.lanes {
		s.lanes[i].hold.Relax(s.sh.cfg.PendingBytes)
	}
}

// squeeze brings the session's memory down to the level by its policies, or as far as they go,
// and cuts the session if it then queues more than it may keep. It returns what it holds now.
func (s *session) squeeze(level, keep int) int {
	if s.ending() {
		return 0
	}
	budget := s.queue.Bytes() / max(1, s.footprint()/max(1, level)+1)
	var o backpressure.Outcome
	for i := range s.lanes {
		o.Add(s.lanes[i].hold.Squeeze(budget))
	}
	o.Add(s.queue.Squeeze(budget))
	s.count(o)
	if s.queued() > keep {
		s.evict(whyShort)
	}
	if s.ending() {
		return 0
	}
	return s.footprint()
}

// whyShort is logged of a session that was cut for memory.
const whyShort = "the node is short of memory and this session is late, or holds the most"
