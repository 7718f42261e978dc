package backpressure

import (
	"fmt"
	"iter"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// eventBytesMax bounds a gap or an aggregate in either encoding: a symbol of 64 bytes, each
// six at most in JSON, and a dozen numbers of up to 24.
const eventBytesMax = 1024

// Fill moves events from the front of the queue into b until nothing waits or the next
// would take b past bytesMax, which is at most [codec.MaxBatchBytes]; one event that alone
// is longer goes by itself. b must be in the queue's encoding.
func (q *Queue) Fill(b *codec.Batch, bytesMax int) {
	if st := q.st; st != nil {
		for st.head < len(st.items) && q.send(&st.items[st.head], b, bytesMax-b.Size()) {
			st.items[st.head] = item{}
			st.head++
		}
	}
	if q.Empty() {
		q.rest()
		return
	}
	if q.counted() < q.budget/2 {
		q.over, q.refusing = false, false
	}
	q.st.limit = min(q.st.limit, q.nextMelt())
}

// send moves the item into b and reports true, or leaves it, or what of it does not fit.
func (q *Queue) send(it *item, b *codec.Batch, room int) bool {
	switch {
	case it.chunk != nil:
		text := it.chunk.In(q.enc)
		if len(text) > room && (b.Len() > 0 || it.chunk.N > 1) {
			if b.Len() == 0 {
				q.sendFront(it, b, room)
			}
			return false
		}
		b.Add(text, it.chunk.N)
	case it.event == nil:
	case it.event.rec != nil:
		if len(it.event.rec) > room && b.Len() > 0 {
			return false
		}
		b.Add(it.event.rec, 1)
	default:
		if room < eventBytesMax && b.Len() > 0 {
			return false
		}
		if it.event.gap != nil {
			b.AddGap(it.event.gap)
			delete(q.st.open, it.event.stream)
		} else {
			b.AddRecord(aggregateRecord(it.event.sum))
		}
	}
	q.count(it, -it.size)
	return true
}

// sendFront fills an empty batch with the front of a chunk that is longer than any batch.
// A chunk that fits the next batch whole is not split: that would translate it anew.
func (q *Queue) sendFront(it *item, b *codec.Batch, room int) {
	front, back := split(*it, q.enc, room, 1)
	b.Add(front.chunk.In(q.enc), front.chunk.N)
	q.count(it, back.size-it.size)
	*it = back
}

func aggregateRecord(a *market.Aggregate) []byte {
	rec, err := codec.AppendAggregate(nil, a)
	if err != nil {
		panic(fmt.Sprintf("backpressure: aggregate of seqs %d to %d: %v", a.FromSeq, a.ToSeq, err))
	}
	return rec
}

// split parts the item of a chunk that takes more than room bytes in front of the first
// tick that does not fit, but behind the given number of ticks at least. The front has no
// chunk if that is none.
func split(it item, e codec.Encoding, room, least int) (front, back item) {
	n, bytes := fit(it.chunk, e, room, least)
	if n == 0 {
		return item{}, it
	}
	front, back = it, it
	c, _, err := codec.ParseChunk(it.stream(), it.chunk.Bytes[:bytes])
	if err != nil {
		panic(fmt.Sprintf("backpressure: front of %v: %v", it.stream(), err))
	}
	c.Stream = it.chunk.Stream
	front.chunk, front.size = c, int32(len(c.In(e)))
	back.chunk = it.chunk.From(c.Last + 1)
	back.size = int32(len(back.chunk.In(e)))
	return front, back
}

// fit counts the ticks at the front of c that together take at most room bytes in encoding
// e, or the given number if that is more, and the bytes of their records.
func fit(c *codec.Chunk, e codec.Encoding, room, least int) (n, bytes int) {
	var text []byte
	for rec := range ticks(c) {
		size := len(rec)
		if e == codec.JSON {
			var err error
			if text, err = codec.AppendJSON(text[:0], rec); err != nil {
				panic(fmt.Sprintf("backpressure: tick %d of chunk %d to %d: %v", n, c.First, c.Last, err))
			}
			size = len(text) + min(n, 1) // with the comma before it
		}
		if room -= size; room < 0 && n >= least {
			break
		}
		bytes += len(rec)
		n++
	}
	return n, bytes
}

// ticks yields the records of c, oldest first.
func ticks(c *codec.Chunk) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := 0; i < len(c.Bytes); {
			_, n, err := codec.NextTick(c.Bytes[i:])
			if err != nil {
				panic(fmt.Sprintf("backpressure: chunk %d to %d, byte %d: %v", c.First, c.Last, i, err))
			}
			if !yield(c.Bytes[i : i+n]) {
				return
			}
			i += n
		}
	}
}
