package codec

import (
	"fmt"
	"math"
	"slices"
)

// batchHeadBytes is an array16 head: filled in when the count is known, and enough, since
// MaxBatchBytes holds fewer than 65,536 of the smallest event (an ack, 7 bytes).
const batchHeadBytes = 3

// Batch builds one WebSocket message out of events. It copies, and never splits or
// refuses: a sender keeps to the limit by asking Size()+len(chunk) <= MaxBatchBytes before
// it adds. The zero value must be Reset. Not for use from two goroutines.
type Batch struct {
	buf  []byte
	n    int
	gaps GapCounts
	enc  Encoding
}

// Reset starts an empty batch in buf's storage, which may be nil. What buf held is gone.
func (b *Batch) Reset(e Encoding, buf []byte) {
	*b = Batch{enc: e}
	if e == JSON {
		b.buf = append(buf[:0], '[')
	} else {
		b.buf = append(buf[:0], mpArray16, 0, 0)
	}
}

// Add appends n events that are in the batch's encoding already, as [Chunk.In] gives them.
func (b *Batch) Add(chunk []byte, n int) {
	if b.enc == JSON && b.n > 0 {
		b.buf = append(b.buf, ',')
	}
	b.buf = append(b.buf, chunk...)
	b.n += n
}

// AddRecord appends one event from its msgpack record, translated if the batch is JSON.
// rec must come from Append* or have passed [NextTick]; anything else panics.
func (b *Batch) AddRecord(rec []byte) {
	if b.enc == MsgPack {
		b.Add(rec, 1)
		return
	}
	if b.n > 0 {
		b.buf = append(b.buf, ',')
	}
	var err error
	if b.buf, err = AppendJSON(b.buf, rec); err != nil {
		panic(fmt.Sprintf("codec: batch got a record of %d bytes: %v", len(rec), err))
	}
	b.n++
}

// AddGap appends a gap and counts it by its reason.
func (b *Batch) AddGap(g *Gap) {
	b.AddRecord(AppendGap(nil, g.Stream, g.From, g.To, g.Reason))
	if i := slices.Index(reasons[:], g.Reason); i >= 0 {
		b.gaps[i]++
	}
}

// Gaps returns how many gaps AddGap was given.
func (b *Batch) Gaps() GapCounts { return b.gaps }

// Len returns how many events the batch has.
func (b *Batch) Len() int { return b.n }

// Size returns the message's length so far, with what closing it and separating one more
// chunk will take.
func (b *Batch) Size() int {
	if b.enc == MsgPack {
		return len(b.buf)
	}
	return len(b.buf) + len(",]")
}

// Bytes closes the batch and returns the message, in the storage given to Reset or what
// that grew into. The batch must be Reset before it is used again.
func (b *Batch) Bytes() []byte {
	if b.enc == JSON {
		return append(b.buf, ']')
	}
	if b.n > math.MaxUint16 {
		panic(fmt.Sprintf("codec: batch of %d events in %d bytes", b.n, len(b.buf)))
	}
	be.PutUint16(b.buf[1:batchHeadBytes], uint16(b.n))
	return b.buf
}
