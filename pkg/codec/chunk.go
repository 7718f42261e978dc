package codec

import (
	"fmt"
	"sync"

	"github.com/tickcast/tickcast/pkg/market"
)

// A Chunk is one or more consecutive ticks of one stream, as the feed encoded them. It is
// immutable and shared by every queue that holds it; [ParseChunk] makes one.
type Chunk struct {
	Stream      uint32 // the node's dense id for the stream; the node sets it before it shares the chunk
	Channel     market.Channel
	Symbol      string
	First, Last int64  // seqs, both included, no hole between
	Void        int64  // how many numbers right before First no tick has, as the feed said; see ParseChunk
	N           int    // ticks
	Bytes       []byte // N msgpack records
	At          int64  // when it reached the node, on the node's clock; the node's as Stream is

	last int // where in Bytes the newest record begins

	translate sync.Once
	json      []byte
}

// ParseChunk checks body, an upstream message: trades, quotes or bars of stream s whose
// seqs rise by one up to [market.SeqMax], each as [NextTick] wants it. One gap may lead them. Of
// reason reset, its last seq, up to which the stream's new numbers were never used, is returned as
// reset, which is otherwise 0, and lies before the first tick's. Of reason upstream, it ends right
// before the first tick, and its numbers stand for what no feed has published: nobody need look
// for them. The chunk aliases body. The error is [ErrMalformed].
func ParseChunk(s market.Stream, body []byte) (c *Chunk, reset int64, err error) {
	return parseChunk(s, nil, body)
}

// A Parser is [ParseChunk] for one stream, and quicker where messages hold few ticks. The zero
// value is nobody's.
type Parser struct {
	stream market.Stream
	first  beginning
}

// NewParser returns the Parser of s.
func NewParser(s market.Stream) Parser { return Parser{s, usualBeginning(s)} }

// Parse is ParseChunk.
func (p *Parser) Parse(body []byte) (c *Chunk, reset int64, err error) {
	return parseChunk(p.stream, p.first, body)
}

// parseChunk expects the first tick to begin with first, and can do without.
func parseChunk(s market.Stream, first beginning, body []byte) (c *Chunk, reset int64, err error) {
	c = &Chunk{Channel: s.Channel, Symbol: s.Symbol}
	start := 0
	for i := 0; i < len(body); {
		goesOn := c.N > 0 || c.Void > 0 // a tick's seq is the next one then
		if seq, next := first.again(body, i); next >= 0 && (goesOn && seq == c.Last+1 || !goesOn && seq > reset) {
			if c.N == 0 {
				c.First = seq
			}
			c.Last, c.last, i = seq, i-start, next
			c.N++
			continue
		}
		h, n, err := NextTick(body[i:])
		if err != nil {
			return nil, 0, fmt.Errorf("%v at byte %d: %w", s, i, err)
		}
		if h.Channel != s.Channel || string(h.Symbol) != s.Symbol {
			return nil, 0, fmt.Errorf("%w: %v holds %v %s", ErrMalformed, s, h.Channel, h.Symbol)
		}
		switch {
		case h.Kind == KindGap && i == 0 && gapReason(body[:n]) == ReasonReset:
			reset, start = h.To, n
		case h.Kind == KindGap && i == 0 && gapReason(body[:n]) == ReasonUpstream:
			c.Last, c.Void, start = h.To, h.To-h.Seq+1, n
		case h.Kind == KindGap || h.Kind == KindAggregate:
			return nil, 0, fmt.Errorf("%w: %v holds a gap or an aggregate at byte %d", ErrMalformed, s, i)
		case c.N == 0 && h.Seq <= reset, goesOn && h.Seq != c.Last+1:
			return nil, 0, fmt.Errorf("%w: %v goes from seq %d to %d", ErrMalformed, s, max(c.Last, reset), h.Seq)
		default:
			if c.N == 0 {
				c.First = h.Seq
				first = beginningOf(body[i:], &h)
			}
			c.Last, c.last = h.Seq, i-start
			c.N++
		}
		i += n
	}
	switch {
	case c.N == 0:
		return nil, 0, fmt.Errorf("%w: %v has no tick", ErrMalformed, s)
	case c.Last > market.SeqMax: // behind which no true one could come
		return nil, 0, fmt.Errorf("%w: %v goes up to seq %d", ErrMalformed, s, c.Last)
	}
	c.Bytes = body[start:]
	return c, reset, nil
}

// gapReason reads the last element of a gap that NextTick has accepted.
func gapReason(rec []byte) Reason {
	_, i := arrayAt(rec, 0)
	_, i = strAt(rec, i)
	_, i = strAt(rec, i)
	_, i = strAt(rec, i)
	_, i = intAt(rec, i)
	_, i = intAt(rec, i)
	r, _ := strAt(rec, i)
	return Reason(r)
}

// Begins is the first seq that the chunk accounts for: of its ticks, or of those that no tick has.
func (c *Chunk) Begins() int64 { return c.First - c.Void }

// LastRecord returns the newest tick's msgpack record, which aliases Bytes.
func (c *Chunk) LastRecord() []byte { return c.Bytes[c.last:] }

// LastTime returns the newest tick's own time, in Unix ns; for a bar, when it began.
func (c *Chunk) LastTime() int64 {
	rec := c.LastRecord()
	_, i := arrayAt(rec, 0)
	_, i = strAt(rec, i)
	_, i = strAt(rec, i)
	_, i = intAt(rec, i)
	at, _ := intAt(rec, i)
	return at
}

// From returns the part of c with ticks from seq on: c itself if that is all of it, nil if
// it is nothing. A part is a Chunk of its own that shares c's Bytes.
func (c *Chunk) From(seq int64) *Chunk {
	switch {
	case seq <= c.First:
		return c
	case seq > c.Last:
		return nil
	}
	i := c.last
	if seq < c.Last {
		i = 0
		for range seq - c.First {
			_, n, err := NextTick(c.Bytes[i:])
			if err != nil {
				panic(fmt.Sprintf("codec: chunk of seqs %d to %d, byte %d: %v", c.First, c.Last, i, err))
			}
			i += n
		}
	}
	return &Chunk{
		Stream: c.Stream, Channel: c.Channel, Symbol: c.Symbol, At: c.At,
		First: seq, Last: c.Last, N: int(c.Last - seq + 1),
		Bytes: c.Bytes[i:], last: c.last - i,
	}
}

// Join makes one chunk of several of one stream, each of which begins with the seq after
// the last of the one before. Their bytes are copied.
func Join(chunks []*Chunk) *Chunk {
	size := 0
	for _, c := range chunks {
		size += len(c.Bytes)
	}
	all := chunks[0].Copy(size)
	for _, c := range chunks[1:] {
		all.Extend(c)
	}
	return all
}

// Copy returns a chunk like c with bytes of its own, and room for so many in all.
func (c *Chunk) Copy(room int) *Chunk {
	return &Chunk{
		Stream: c.Stream, Channel: c.Channel, Symbol: c.Symbol, At: c.At,
		First: c.First, Last: c.Last, N: c.N, Void: c.Void,
		Bytes: append(make([]byte, 0, max(room, len(c.Bytes))), c.Bytes...), last: c.last,
	}
}

// Extend adds the ticks of next, which begin with the seq after c's last and lack none before that. It is for whoever
// made c by Copy and has not shown it to anybody yet.
func (c *Chunk) Extend(next *Chunk) {
	if next.Stream != c.Stream || next.First != c.Last+1 {
		panic(fmt.Sprintf("codec: seq %d of stream %d behind seq %d of %d", next.First, next.Stream, c.Last, c.Stream))
	}
	c.last = len(c.Bytes) + next.last
	c.Bytes = append(c.Bytes, next.Bytes...)
	c.Last, c.N = next.Last, c.N+next.N
}

// In returns c's events in encoding e, as [Batch.Add] wants them. The JSON is made on
// first use and kept; any goroutine may ask. The bytes are shared: do not write to them.
func (c *Chunk) In(e Encoding) []byte {
	if e == MsgPack {
		return c.Bytes
	}
	c.translate.Do(func() {
		text := make([]byte, 0, len(c.Bytes)*3/2) // trades take 1.3 times their msgpack
		for i := 0; i < len(c.Bytes); {
			if i > 0 {
				text = append(text, ',')
			}
			grown, n, err := appendJSONValue(text, c.Bytes, i, 1)
			if err != nil {
				panic(fmt.Sprintf("codec: chunk of seqs %d to %d, byte %d: %v", c.First, c.Last, i, err))
			}
			text, i = grown, n
		}
		c.json = text
	})
	return c.json
}
