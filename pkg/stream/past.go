package stream

import (
	"slices"
	"sort"

	"github.com/tickcast/tickcast/pkg/codec"
)

// A past is one chunk that a tape remembers, or that the store does.
type past struct {
	chunk *codec.Chunk
	reset int64 // its message said that no number up to here was used; 0 = it did not
	at    int64 // when it was taken
}

// pastOverhead is about what an entry takes beside the ticks.
const pastOverhead = 200

func (p *past) bytes() int { return len(p.chunk.Bytes) + pastOverhead }

// A history is the recent part of a trade stream: its chunks in order, which overlap nowhere,
// with a hole only where numbers are known to be lost or never used. The chunks in list never
// change, and views of the list are handed out, so entries are appended and let go at the front,
// and never overwritten.
//
// What comes is copied into open, which joins the list when it is large or old enough. A tick
// that came alone takes four times its bytes (the message, the chunk, the entry), and the garbage
// collector looks at all of these again and again: at 10,000 messages a second that was two
// fifths of a node's CPU.
type history struct {
	list  []past
	gone  int   // entries before list that its array still holds
	reset int64 // the newest reset of what was let go

	open  past  // nobody else has its chunk; nil when it is empty
	begun int64 // when open's first tick was taken
	usual int   // room that the next one begins with: what the chunk took that was open before, and some more
}

// openBytesMax is where an open chunk ends.
const openBytesMax = gatherBytesMax

// from returns what is held from seq on. The view stays as it is whatever is added later.
func (h *history) from(seq int64) []past {
	h.close()
	i := sort.Search(len(h.list), func(i int) bool { return h.list[i].chunk.Last >= seq })
	return h.list[i:len(h.list):len(h.list)]
}

// first and newest are the ends of what is held; nil where nothing is.
func (h *history) first() *past {
	if len(h.list) > 0 {
		return &h.list[0]
	}
	return h.newest()
}

func (h *history) newest() *past {
	switch {
	case h.open.chunk != nil:
		return &h.open
	case len(h.list) > 0:
		return &h.list[len(h.list)-1]
	}
	return nil
}

// resetBefore is the number up to which none was used, as far as that is known of those
// before the first one held.
func (h *history) resetBefore() int64 {
	if p := h.first(); p != nil {
		return max(h.reset, p.reset)
	}
	return h.reset
}

// add remembers what was taken, for the list at most so long after the first of it was, and
// returns by how much the history has grown.
func (h *history) add(p past, openFor int64) (bytes int) {
	if o := &h.open; o.chunk != nil && p.chunk.First == o.chunk.Last+1 &&
		len(o.chunk.Bytes)+len(p.chunk.Bytes) <= openBytesMax && p.at-h.begun <= openFor {
		o.chunk.Extend(p.chunk)
		o.at = p.at
		if p.reset < o.chunk.First { // or it is contradicted by what came
			o.reset = max(o.reset, p.reset)
		}
		return len(p.chunk.Bytes)
	}
	h.close()
	if len(p.chunk.Bytes) > openBytesMax/2 {
		h.list = append(h.list, p)
		return p.bytes()
	}
	h.open, h.begun = p, p.at
	h.open.chunk = p.chunk.Copy(h.usual)
	return p.bytes()
}

// close puts what is open into the list.
func (h *history) close() {
	if h.open.chunk != nil {
		h.usual = len(h.open.chunk.Bytes) * 9 / 8 // the next one is seldom as long to the byte, and would be copied
		h.list = append(h.list, h.open)
		h.open = past{}
	}
}

// trim lets go of what was taken before then, and returns its size.
func (h *history) trim(then int64) (bytes int) {
	if h.open.chunk != nil && h.open.at < then {
		h.close()
	}
	n := 0
	for n < len(h.list) && h.list[n].at < then {
		h.reset = max(h.reset, h.list[n].reset)
		bytes += h.list[n].bytes()
		n++
	}
	h.list = h.list[n:]
	if h.gone += n; h.gone > len(h.list) {
		h.list, h.gone = slices.Clone(h.list), 0 // views may need the old array, we do not
	}
	return bytes
}

// fill adds what the store has to what is held, and returns by how much that has grown.
func (h *history) fill(stored []past) (bytes int) {
	h.close()
	for i := range h.list {
		bytes -= h.list[i].bytes()
	}
	h.list, h.gone = join(stored, h.list), 0
	for i := range h.list {
		bytes += h.list[i].bytes()
	}
	return bytes
}

// join makes one list of two, in order, with every seq that either has, once.
func join(a, b []past) []past {
	all := make([]past, 0, len(a)+len(b))
	last := int64(0)
	for len(a)+len(b) > 0 {
		from := &a
		if len(a) == 0 || len(b) > 0 && b[0].chunk.First < a[0].chunk.First {
			from = &b
		}
		p := (*from)[0]
		*from = (*from)[1:]
		if p.chunk = p.chunk.From(last + 1); p.chunk != nil {
			last = p.chunk.Last
			all = append(all, p)
		}
	}
	return all
}

// compact makes fewer and larger chunks of a list, as far as they end with the seq at the
// latest. Resumed sessions queue every chunk, and a quiet stream's hold one trade each.
func compact(list []past, upTo int64) []past {
	var chunks []*codec.Chunk
	all := list[:0]
	for i := 0; i < len(list); {
		p, bytes := list[i], len(list[i].chunk.Bytes)
		chunks = append(chunks[:0], p.chunk)
		for i++; i < len(list); i++ {
			c := list[i].chunk
			if bytes += len(c.Bytes); c.First != chunks[len(chunks)-1].Last+1 || c.Last > upTo || bytes > gatherBytesMax {
				break
			}
			chunks = append(chunks, c)
		}
		if len(chunks) > 1 {
			p.chunk = codec.Join(chunks)
		}
		all = append(all, p)
	}
	clear(list[len(all):])
	return all
}
