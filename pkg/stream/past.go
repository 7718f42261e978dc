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
// with a hole only where numbers are known to be lost or never used. The chunks never change,
// and views of the list are handed out, so entries are appended and let go at the front, and
// never overwritten.
type history struct {
	list   []past
	gone   int   // entries before list that its array still holds
	folded int   // entries at its front that fold has seen
	reset  int64 // the newest reset of what was let go
}

// from returns what is held from seq on. The view stays as it is whatever is added later.
func (h *history) from(seq int64) []past {
	i := sort.Search(len(h.list), func(i int) bool { return h.list[i].chunk.Last >= seq })
	return h.list[i:len(h.list):len(h.list)]
}

// resetBefore is the number up to which none was used, as far as that is known of those
// before the first one held.
func (h *history) resetBefore() int64 {
	if len(h.list) == 0 {
		return h.reset
	}
	return max(h.reset, h.list[0].reset)
}

func (h *history) add(p past) (bytes int) {
	h.list = append(h.list, p)
	return p.bytes()
}

// trim lets go of what was taken before then, and returns its size.
func (h *history) trim(then int64) (bytes int) {
	n := 0
	for n < len(h.list) && h.list[n].at < then {
		h.reset = max(h.reset, h.list[n].reset)
		bytes += h.list[n].bytes()
		n++
	}
	h.list, h.folded = h.list[n:], max(0, h.folded-n)
	if h.gone += n; h.gone > len(h.list) {
		h.list, h.gone = slices.Clone(h.list), 0 // views may need the old array, we do not
	}
	return bytes
}

// A tick that came alone takes four times its bytes: the message, the chunk and the entry. So
// what has come is made into larger chunks now and then, as soon as there is enough of it.
const (
	foldEntries = 16
	foldBytes   = 2 << 10
)

// fold makes fewer and larger chunks of what came since the last fold, and returns by how much
// the history has grown, which is less than 0.
func (h *history) fold() (bytes int) {
	fresh := h.list[h.folded:]
	if len(fresh) < foldEntries {
		return 0
	}
	all := append(make([]past, 0, h.folded+len(fresh)/4), h.list[:h.folded]...) // views keep the old array
	for len(fresh) > 0 {
		n := runOf(fresh, foldBytes)
		p := fresh[n-1] // let go when the newest is
		p.reset = fresh[0].reset
		if n > 1 {
			chunks := make([]*codec.Chunk, n)
			for i := range chunks {
				chunks[i] = fresh[i].chunk
				bytes -= fresh[i].bytes()
			}
			p.chunk = codec.Join(chunks)
			bytes += p.bytes()
		}
		all, fresh = append(all, p), fresh[n:]
	}
	h.list, h.gone, h.folded = all, 0, len(all)
	return bytes
}

// runOf counts the entries at the front of list that can be one: without a hole, of no more
// than so many bytes together, and with no word of numbers that were never used but at the front.
func runOf(list []past, bytesMax int) int {
	bytes := len(list[0].chunk.Bytes)
	for n := 1; n < len(list); n++ {
		c := list[n].chunk
		if bytes += len(c.Bytes); bytes > bytesMax || list[n].reset != 0 || c.First != list[n-1].chunk.Last+1 {
			return n
		}
	}
	return len(list)
}

// fill adds what the store has to what is held, and returns by how much that has grown.
func (h *history) fill(stored []past) (bytes int) {
	for i := range h.list {
		bytes -= h.list[i].bytes()
	}
	h.list, h.gone, h.folded = join(stored, h.list), 0, 0
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
