package backpressure

import (
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// A lane is where in items the last one of a stream stands, while a melt rebuilds them.
type lane struct {
	last  int
	epoch int // how many control records stand before it
}

// melt makes room: see the package comment. What conflating and summing leave may fill
// three quarters of the budget. If it is more, trades and the like are dropped, oldest
// first, until they take half of what the rest leaves of the budget, so that a session
// with much that must stay keeps some of them too; but always down to four fifths, since
// a quarter more has to fit before the next melt.
func (q *Queue) melt(o *Outcome) {
	q.over = true
	clear(q.st.open) // gaps are moved and made one below
	q.settle(0, o)
	if counted := q.counted(); counted > q.budget-q.budget/4 {
		loose := 0
		for i := range q.st.items {
			if it := &q.st.items[i]; q.sheds(it) {
				loose += int(it.size)
			}
		}
		target := min((counted-loose+q.budget)/2, q.budget-q.budget/5)
		if loose > 0 && counted > target {
			q.settle(counted-target, o)
		}
	}
	q.st.limit = q.nextMelt()
}

// nextMelt is how many bytes are worth another melt: a quarter more than wait now, or the
// whole budget.
func (q *Queue) nextMelt() int { return max(q.budget, q.counted()+q.counted()/4) }

// sheds reports that the item's ticks may be dropped.
func (q *Queue) sheds(it *item) bool {
	return it.chunk != nil && !it.owed && it.policy == DropOldest && !q.conflates(it)
}

// settle merges what can be merged and drops, oldest first, what may be dropped until
// excess bytes are gone.
func (q *Queue) settle(excess int, o *Outcome) {
	q.rebuild(func(it item) {
		if excess <= 0 || !q.sheds(&it) {
			q.place(it, o)
			return
		}
		before := q.bytes
		q.shed(it, excess, o)
		excess -= int(it.size) - (q.bytes - before)
	})
}

// rebuild empties the queue and hands what was in it to put, in order.
func (q *Queue) rebuild(put func(item)) {
	st := q.st
	all, waiting := st.items, st.items[st.head:]
	st.items, st.spare = st.spare[:0], nil
	st.head, st.epoch = 0, 0
	q.bytes, q.owed, st.answers = 0, 0, 0
	clear(st.lanes)
	for _, it := range waiting {
		if it.chunk != nil || it.event != nil {
			put(it)
		}
	}
	clear(all)
	st.spare = all[:0]
}

// shed drops the oldest ticks of a chunk, enough to free excess bytes and to pay for the
// gap that stands in their place, or all.
func (q *Queue) shed(it item, excess int, o *Outcome) {
	c := it.chunk
	var rest *codec.Chunk
	if need := excess + int(q.gapBytes(c.Symbol)); int(it.size) > need {
		n, _ := fit(c, q.enc, need-1, 0)
		rest = c.From(c.First + int64(n) + 1)
	}
	last, kept := c.Last, 0
	if rest != nil {
		last, kept = rest.First-1, rest.N
	}
	o.Dropped += c.N - kept
	q.place(q.gapItem(it.stream(), c.Stream, c.First, last, codec.ReasonSlow, it.at), o)
	if rest != nil {
		it.chunk, it.size = rest, q.sizeOf(rest)
		q.place(it, o)
	}
}

// place appends the item to what has been rebuilt, or makes it one with what stands there
// of its stream.
//
// What a stream's events are merged into keeps its place, so a stream that never rests is
// not sent back to the end of the queue by each of its updates, and at rises along the
// queue. Seqs still rise, because a merger is only ever with the last item of the same
// stream. It never reaches back over a control record: an ack or a snapshot speaks of
// what follows it. There a conflated event gives up its place instead.
func (q *Queue) place(it item, o *Outcome) {
	st := q.st
	id, ok := it.streamID()
	if !ok || it.owed {
		st.epoch++
		q.append(it)
		return
	}
	if q.conflates(&it) && it.chunk.N > 1 {
		o.Conflated += it.chunk.N - 1
		it.chunk = it.chunk.From(it.chunk.Last)
		it.size = q.sizeOf(it.chunk)
	}
	if l, ok := st.lanes[id]; ok {
		prev, near := &st.items[l.last], l.epoch == st.epoch
		switch {
		case q.conflates(&it) && q.conflates(prev):
			o.Conflated++
			if near {
				it.at = prev.at
				q.put(prev, it)
				return
			}
			q.put(prev, item{})
		case near && joinGaps(prev, &it):
			return
		case near:
			was := prev.size
			if q.sum(prev, &it, o) {
				q.bytes += int(prev.size - was)
				return
			}
		}
	}
	if it.chunk != nil && it.chunk.N > 1 {
		q.sum(&it, nil, o)
	}
	if st.lanes == nil {
		st.lanes = make(map[uint32]lane)
	}
	st.lanes[id] = lane{last: len(st.items), epoch: st.epoch}
	q.append(it)
}

// put replaces an item that is counted in bytes.
func (q *Queue) put(at *item, it item) {
	q.bytes += int(it.size - at.size)
	*at = it
}

// streamID is not ok for a control record.
func (it *item) streamID() (id uint32, ok bool) {
	if it.chunk != nil {
		return it.chunk.Stream, true
	}
	return it.event.stream, it.event.rec == nil
}

// joinGaps extends prev by it if both tell of one run of dropped ticks. Seqs of quotes and
// bars that are missing between them were conflated away by a [Hold].
func joinGaps(prev, it *item) bool {
	if prev.event == nil || it.event == nil || prev.event.gap == nil || it.event.gap == nil {
		return false
	}
	a, b := prev.event.gap, it.event.gap
	if a.Reason != codec.ReasonSlow || b.Reason != codec.ReasonSlow {
		return false
	}
	if a.To+1 != b.From && a.Stream.Channel == market.ChannelTrade {
		return false
	}
	a.To = b.To
	return true
}
