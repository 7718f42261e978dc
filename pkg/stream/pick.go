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
	fresh := s.index().Add(s, id, opt)
	s.named(id)
	s.pushed = s.pushed || opt.intervalMS > 0 || s.set.Len() > pickMax
	return fresh
}

// openWindow gives what was gathered to those it is pushed to, and marks those who pick.
func (g *group) openWindow() {
	for i := range g.gathered {
		of := &g.gathered[i]
		c := g.joined(of)
		if c == nil {
			continue
		}
		id := of.tape.id
		of.window = c
		x := g.indexOf(of.tape)
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
		publishWild(x, id, c)
	}
}

// inWindow is what the window has of a stream, nil if nothing.
func (g *group) inWindow(id subscribe.ID) *codec.Chunk {
	if int(id) >= len(g.place) || g.place[id] == 0 {
		return nil
	}
	return g.gathered[g.place[id]-1].window
}

// pick sends the session what the window has of its streams, in one batch if it fits.
func (s *session) pick() {
	sh, g := s.sh, s.group
	chunks, bytes := sh.chunks[:0], 0
	for i := range s.set.Len() {
		if c := g.inWindow(s.set.At(i)); c != nil {
			chunks = append(chunks, c)
			bytes += len(c.In(s.enc)) + 1 // a comma
		}
	}
	sh.chunks = chunks
	if bytes > batchBytesMax-headroom || !s.mayBatch() {
		for i := range s.set.Len() {
			if c := g.inWindow(s.set.At(i)); c != nil {
				s.push(c, s.index().Option(&s.set, i))
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
