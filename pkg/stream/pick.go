package stream

import (
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/subscribe"
)

// Most sessions keep up, and name a few streams. To put each of a window's chunks into the
// queue of each, only to take it out again at once, would be most of what this package does
// with a tick. So at a flush such a session picks its chunks out of the window by itself:
// reading its own short list of streams costs less than writing another.
//
// Everybody else gets chunks pushed: whoever has something waiting, since it must stay in
// front; who was given a stream within the window; who has a wildcard, an interval, or many streams of which few tick at a time.

// pickMax is how many streams a session that picks may name.
const pickMax = subscribe.SmallSet

// picks says whether the session can pick at this flush.
func (s *session) picks() bool {
	return !s.pushed && !s.busy && !s.begun && s.leaving == nil && s.queue.Empty()
}

// add gives the session a stream by name, or changes its options there, and reports whether
// it is new.
func (s *session) add(id subscribe.ID, opt option) bool {
	fresh := s.view.index.Add(s, id, opt)
	s.pushed = s.pushed || opt.intervalMS > 0 || s.set.Len() > pickMax
	return fresh
}

// openWindow gives what was gathered to those it is pushed to, and marks those who pick.
func (sh *shard) openWindow() {
	for i := range sh.gathered {
		g := &sh.gathered[i]
		c := sh.joined(g)
		if c == nil {
			continue
		}
		id := g.tape.id
		if n := int(id) + 1 - len(sh.window); n > 0 {
			sh.window = append(sh.window, make([]*codec.Chunk, n)...)
		}
		sh.window[id] = c
		x := sh.indexOf(g.tape)
		named := x.Named(id)
		for i := range named {
			switch s := named[i].Owner; {
			case s.picking:
			case s.picks():
				s.picking = true
				s.mark()
			default:
				s.give(id, c, named[i].Opt)
			}
		}
		sh.publishWild(x, id, c)
	}
}

func (sh *shard) closeWindow() {
	for i := range sh.gathered {
		if id := int(sh.gathered[i].tape.id); id < len(sh.window) {
			sh.window[id] = nil
		}
	}
	sh.forgetGathered()
}

// pick sends the session what the window has of its streams, in one batch if it fits.
func (s *session) pick() {
	sh := s.sh
	chunks, bytes := sh.chunks[:0], 0
	for i := range s.set.Len() {
		if id := int(s.set.At(i)); id < len(sh.window) && sh.window[id] != nil {
			c := sh.window[id]
			chunks = append(chunks, c)
			bytes += len(c.In(s.enc)) + 1 // a comma
		}
	}
	sh.chunks = chunks
	if bytes > batchBytesMax-headroom || !s.mayBatch() {
		for i := range s.set.Len() {
			if id := int(s.set.At(i)); id < len(sh.window) && sh.window[id] != nil {
				s.push(sh.window[id], s.view.index.Option(&s.set, i))
			}
		}
		return
	}
	m, made := sh.messageOf(s, chunks)
	if !made {
		m.fillWith(chunks, s.enc)
	}
	s.send(m)
}
