package backpressure

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// Outcome says what a push cost, in ticks. The zero value means: nothing, all is kept.
type Outcome struct {
	Conflated  int // superseded by a later event of their stream
	Dropped    int // gone, and told in a gap
	Aggregated int // gone into an aggregate
	// Disconnect reports that a stream under the disconnect policy did not fit. The queue
	// takes no more ticks: the session must be closed.
	Disconnect bool
}

// Add adds what another push cost.
func (o *Outcome) Add(p Outcome) {
	o.Conflated += p.Conflated
	o.Dropped += p.Dropped
	o.Aggregated += p.Aggregated
	o.Disconnect = o.Disconnect || p.Disconnect
}

// A Queue holds what one session has yet to be sent, in order. The zero value must be
// given to Init. While nothing waits it is a few words and owns no storage.
type Queue struct {
	st     *state // nil while nothing waits
	bytes  int    // of all that waits
	owed   int    // of those, what does not count against the budget
	budget int
	enc    codec.Encoding

	eager    bool // a Hold's: merges what comes at once, not only when it melts
	over     bool
	refusing bool // under DropNewest, until below half the budget
	full     bool // under Disconnect, for good
}

// state is what a queue needs only while something waits.
type state struct {
	items []item
	head  int   // items before it have been sent
	limit int   // bytes that the next melt waits for
	now   int64 // of the latest push

	answers int    // bytes of control records
	text    []byte // control records that wait, and others before them

	open map[uint32]*codec.Gap // by stream: what a refusal may still extend

	// melt
	spare []item
	lanes map[uint32]lane
	epoch int
}

// An item is a chunk of ticks or an event. One with neither is hollow: its place is taken
// by a later item.
type item struct {
	chunk  *codec.Chunk
	event  *event
	at     int64 // now when its place in the queue was taken
	size   int32 // bytes; what was added to Queue.bytes for it
	policy Policy
	owed   bool // outside the budget, and never touched by a melt
}

// An event is what waits besides ticks. One of rec, gap and sum is set.
type event struct {
	stream uint32 // of gap and sum
	rec    []byte // control, in the session's encoding
	gap    *codec.Gap
	sum    *market.Aggregate
}

// itemsKept bounds the storage that a queue hands on to the next: 56 KiB.
const itemsKept = 1024

// A healthy session fills and drains its queue every step, and thousands are idle: so
// storage is borrowed while something waits.
var states = sync.Pool{New: func() any { return new(state) }}

// Init makes q an empty queue of a session that is sent enc. The budget is in bytes.
func (q *Queue) Init(enc codec.Encoding, budget int) { *q = Queue{enc: enc, budget: budget} }

// Push queues the ticks of c, and keeps c. A policy that the
// channel does not allow counts as the channel's default. now is the caller's clock, for
// OldestAt alone.
func (q *Queue) Push(c *codec.Chunk, p Policy, now int64) Outcome {
	if !p.Allows(c.Channel) {
		p = Default(c.Channel)
	}
	q.wake().now = now
	it := item{chunk: c, policy: p, at: now, size: q.sizeOf(c)}
	if q.counted()+int(it.size) > q.budget || q.eager || q.refusing || q.full {
		return q.admit(it)
	}
	q.append(it)
	return Outcome{}
}

// Control queues an answer, a heartbeat or a snapshot: any msgpack record of ours that is
// no live tick. It is copied, never dropped, and keeps its place among all other events.
// One that is longer than a batch may be goes alone.
func (q *Queue) Control(rec []byte) {
	st := q.wake()
	own := st.keep(rec, q.enc)
	clear(st.open) // a gap must not come to cover what is pushed after this record
	q.append(item{event: &event{rec: own}, at: st.now, size: int32(len(own)), owed: true})
}

// textMax ends a piece of storage for control records: those that have been sent stay in it.
const textMax = 2 << 10

// keep copies a control record in the session's encoding. Most sessions get a dozen at once, and
// then none for long.
func (st *state) keep(rec []byte, enc codec.Encoding) []byte {
	if len(st.text) > textMax {
		st.text = nil
	}
	from := len(st.text)
	if enc == codec.JSON {
		var err error
		if st.text, err = codec.AppendJSON(st.text, rec); err != nil {
			panic(fmt.Sprintf("backpressure: control record of %d bytes: %v", len(rec), err))
		}
	} else {
		st.text = append(st.text, rec...)
	}
	return st.text[from:len(st.text):len(st.text)]
}

// Backfill queues ticks that the session is owed, such as a history it asked
// for: they are never dropped and do not count against the budget. It keeps c.
func (q *Queue) Backfill(c *codec.Chunk, now int64) {
	st := q.wake()
	clear(st.open)
	st.now = now
	q.append(item{chunk: c, at: now, size: q.sizeOf(c), owed: true})
}

// Gap queues a gap event of stream s, whose id is that of its chunks, behind what waits.
// It is never dropped, nor made one with what the queue drops itself.
func (q *Queue) Gap(s market.Stream, id uint32, from, to int64, r codec.Reason) {
	st := q.wake()
	var o Outcome
	q.add(q.gapItem(s, id, from, to, r, st.now), &o)
}

// Bytes returns the size of what waits, in the session's encoding. Gaps and aggregates
// count by estimate.
func (q *Queue) Bytes() int { return q.bytes }

// AnswerBytes returns how many of those are control records.
func (q *Queue) AnswerBytes() int {
	if q.st == nil {
		return 0
	}
	return q.st.answers
}

// counted is what the budget bounds.
func (q *Queue) counted() int { return q.bytes - q.owed }

// itemBytes is what the queue itself keeps for each item that waits.
const itemBytes = int(unsafe.Sizeof(item{}))

// Footprint returns the memory that what waits may hold on to: its bytes, though other
// queues can share them, and what the queue needs to keep them in order.
func (q *Queue) Footprint() int {
	if q.st == nil {
		return 0
	}
	return q.bytes + itemBytes*(cap(q.st.items)+cap(q.st.spare))
}

// Squeeze lowers the budget and melts what waits at once, for a caller that needs the
// memory. What the policies refuse to give up stays. Relax ends it.
func (q *Queue) Squeeze(budget int) (o Outcome) {
	q.budget = min(q.budget, budget)
	if st := q.st; st != nil {
		if q.counted() > q.budget {
			q.melt(&o)
		}
		st.compact()
		clear(st.open)
	}
	return o
}

// Trim frees storage that what waits does not fill, such as what a longer queue left.
func (q *Queue) Trim() {
	if st := q.st; st != nil && cap(st.items)+cap(st.spare) > 2*(len(st.items)-st.head) {
		st.compact()
	}
}

func (st *state) compact() {
	st.items, st.head, st.spare = append([]item(nil), st.items[st.head:]...), 0, nil
}

// Relax sets the budget again, for what is pushed from now on.
func (q *Queue) Relax(budget int) { q.budget = budget }

// Chunks appends what waits to dst if it is nothing but whole chunks, of at most so many
// bytes: two queues with the same chunks fill the same batch. ok is false if it is not.
func (q *Queue) Chunks(dst []*codec.Chunk, bytesMax int) (chunks []*codec.Chunk, ok bool) {
	if q.st == nil || q.bytes > bytesMax {
		return dst, false
	}
	for i := q.st.head; i < len(q.st.items); i++ {
		c := q.st.items[i].chunk
		if c == nil {
			return dst, false
		}
		dst = append(dst, c)
	}
	return dst, true
}

// Clear forgets all that waits: it was sent by way of Chunks, or never will be.
func (q *Queue) Clear() {
	if q.st == nil {
		return
	}
	q.bytes, q.owed, q.st.answers = 0, 0, 0
	clear(q.st.items[q.st.head:])
	q.rest()
}

// Empty reports that nothing waits.
func (q *Queue) Empty() bool { return q.st == nil || q.st.head == len(q.st.items) }

// Over reports that the session is behind: from the first event that was dropped, melted
// or refused until Fill has taken the queue below half the budget. What melting alone
// frees does not end it, or a session that takes nothing would never be over for long.
func (q *Queue) Over() bool { return q.over }

// OldestAt returns the now of the push that has waited longest, 0 if none waits. An event
// that conflation or aggregation puts in the place of an earlier one waits since then.
func (q *Queue) OldestAt() int64 {
	if q.st == nil {
		return 0
	}
	for _, it := range q.st.items[q.st.head:] {
		if it.at != 0 {
			return it.at // control records before the first push have none
		}
	}
	return 0
}

// wake makes sure that the queue has storage.
func (q *Queue) wake() *state {
	if q.st == nil {
		q.st = states.Get().(*state)
		q.st.limit = q.budget
	}
	return q.st
}

// rest gives the storage back: nothing waits.
func (q *Queue) rest() {
	q.over, q.refusing = false, false
	st := q.st
	if st == nil {
		return
	}
	if q.bytes != 0 {
		panic(fmt.Sprintf("backpressure: %d bytes in an empty queue", q.bytes))
	}
	q.st = nil
	if max(cap(st.items), cap(st.spare)) > itemsKept {
		return
	}
	clear(st.open)
	clear(st.lanes)
	if st.text = st.text[:0]; cap(st.text) > 2*textMax {
		st.text = nil
	}
	st.items, st.head, st.now, st.epoch = st.items[:0], 0, 0, 0
	states.Put(st)
}

// add queues an item, whatever its size.
func (q *Queue) add(it item, o *Outcome) {
	if q.eager {
		q.place(it, o)
	} else {
		q.append(it)
	}
}

func (q *Queue) append(it item) {
	st := q.st
	if n := len(st.items); n == cap(st.items) && st.head > n/2 {
		n = copy(st.items, st.items[st.head:])
		clear(st.items[n:])
		st.items, st.head = st.items[:n], 0
	}
	st.items = append(st.items, it)
	q.count(&it, it.size)
}

// count adds n bytes of an item, or takes them off.
func (q *Queue) count(it *item, n int32) {
	q.bytes += int(n)
	if it.owed {
		q.owed += int(n)
		if it.chunk == nil {
			q.st.answers += int(n)
		}
	}
}

// sizeOf is what a chunk takes in the queue's encoding: less than 2 GiB, as messages are.
func (q *Queue) sizeOf(c *codec.Chunk) int32 { return int32(len(c.In(q.enc))) }

// admit queues an item that may not fit.
func (q *Queue) admit(it item) (o Outcome) {
	strict := it.chunk != nil && !q.conflates(&it) && (it.policy == DropNewest || it.policy == Disconnect)
	switch {
	case q.full && it.chunk != nil:
		o.Disconnect = true
	case !strict:
		q.add(it, &o)
		if q.counted() > q.st.limit {
			q.melt(&o)
		}
	case it.policy == DropNewest && q.refusing:
		q.refuse(it, &o)
	default:
		if q.counted()+int(it.size) > q.st.limit {
			q.melt(&o)
		}
		switch {
		case q.counted()+int(it.size) <= q.budget:
			q.add(it, &o)
		case it.policy == DropNewest:
			q.over, q.refusing = true, true
			q.refuse(q.addFront(it, &o), &o)
		default:
			q.over, q.full = true, true
			o.Disconnect = true
		}
	}
	return o
}

// addFront queues the front of an item that does not fit whole and returns the rest.
func (q *Queue) addFront(it item, o *Outcome) (rest item) {
	if front, back := split(it, q.enc, q.budget-q.counted(), 0); front.chunk != nil {
		q.add(front, o)
		return back
	}
	return it
}

// refuse drops an item. The gap that tells so is queued at once, behind all that was
// accepted, and grows as long as nothing comes between.
func (q *Queue) refuse(it item, o *Outcome) {
	c, st := it.chunk, q.st
	o.Dropped += c.N
	if g := st.open[c.Stream]; g != nil && g.To+1 == c.First {
		g.To = c.Last
		return
	}
	gap := q.gapItem(it.stream(), c.Stream, c.First, c.Last, codec.ReasonSlow, it.at)
	q.add(gap, o)
	if q.eager {
		return // place extends it by itself
	}
	if st.open == nil {
		st.open = make(map[uint32]*codec.Gap)
	}
	st.open[c.Stream] = gap.event.gap
}

func (q *Queue) gapItem(s market.Stream, id uint32, from, to int64, r codec.Reason, at int64) item {
	g := &codec.Gap{Stream: s, From: from, To: to, Reason: r}
	return item{event: &event{stream: id, gap: g}, at: at, size: q.gapBytes(s.Symbol)}
}

// gapBytes and sumBytes estimate what an event will take, the same all the time it waits.
func (q *Queue) gapBytes(symbol string) int32 {
	if q.enc == codec.JSON {
		return 64 + int32(len(symbol))
	}
	return 40 + int32(len(symbol))
}

func (q *Queue) sumBytes(symbol string) int32 {
	if q.enc == codec.JSON {
		return 160 + int32(len(symbol))
	}
	return 92 + int32(len(symbol))
}

// stream names the stream of a chunk.
func (it *item) stream() market.Stream {
	return market.Stream{Channel: it.chunk.Channel, Symbol: it.chunk.Symbol}
}

// conflates reports that only the newest tick of the item's stream matters.
func (q *Queue) conflates(it *item) bool {
	return it.chunk != nil && !it.owed && (it.policy == Conflate || q.eager && it.chunk.Channel != market.ChannelTrade)
}
