package backpressure

import (
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// A Hold keeps back the events of a session's streams that share an interval. Of quotes
// and bars it keeps the latest, under every policy; of trades all, or under [Aggregate]
// one aggregate of each stream that had more than one. A Hold that passes its budget
// melts as a [Queue] does. The zero value must be given to Init. When to release is the
// caller's to say.
type Hold struct {
	q Queue
}

// Init makes h an empty hold of a session that is sent enc. The budget is in bytes.
func (h *Hold) Init(enc codec.Encoding, budget int) {
	h.q.Init(enc, budget)
	h.q.eager = true
}

// Add holds the ticks of c back, which are to be queued under policy p, and keeps c.
func (h *Hold) Add(c *codec.Chunk, p Policy) Outcome { return h.q.Push(c, p, 0) }

// Gap holds a gap event of s back, in its place among the events of s: see [Queue.Gap].
func (h *Hold) Gap(s market.Stream, id uint32, from, to int64, r codec.Reason) {
	h.q.Gap(s, id, from, to, r)
}

// Bytes returns the size of what is held, which counts toward the session's budget.
func (h *Hold) Bytes() int { return h.q.Bytes() }

// Footprint is [Queue.Footprint].
func (h *Hold) Footprint() int { return h.q.Footprint() }

// Trim is [Queue.Trim].
func (h *Hold) Trim() { h.q.Trim() }

// Squeeze is [Queue.Squeeze].
func (h *Hold) Squeeze(budget int) Outcome { return h.q.Squeeze(budget) }

// Relax is [Queue.Relax].
func (h *Hold) Relax(budget int) { h.q.Relax(budget) }

// Empty reports that nothing is held.
func (h *Hold) Empty() bool { return h.q.Empty() }

// Release queues all that is held.
func (h *Hold) Release(into *Queue, now int64) Outcome {
	return h.release(into, now, func(uint32) bool { return true })
}

// ReleaseStream queues what is held of one stream, by the id of its chunks: before what
// comes of it goes elsewhere, or it ends.
func (h *Hold) ReleaseStream(id uint32, into *Queue, now int64) Outcome {
	return h.release(into, now, func(stream uint32) bool { return stream == id })
}

func (h *Hold) release(into *Queue, now int64, due func(stream uint32) bool) (o Outcome) {
	if h.q.Empty() {
		return o
	}
	into.over = into.over || h.q.over
	into.wake().now = now
	h.q.rebuild(func(it item) {
		if id, _ := it.streamID(); due(id) {
			it.at = now // being held is not being late
			o.Add(into.admit(it))
		} else {
			h.q.place(it, &o)
		}
	})
	if h.q.Empty() {
		h.q.rest()
	}
	return o
}
