package wire

import (
	"encoding/binary"
	"math"
)

// A Tally counts what messages held.
type Tally struct {
	Messages  int64 `json:"messages"`
	Bytes     int64 `json:"bytes"` // of messages, inflated
	Events    int64 `json:"events"`
	Ticks     int64 `json:"ticks"` // trades, quotes, bars and aggregates among them
	Snapshots int64 `json:"snapshots"`
	Gaps      int64 `json:"gaps"`
	Missed    int64 `json:"missed"` // what the gaps name
	Acks      int64 `json:"acks"`
	Errors    int64 `json:"errors"`
	Malformed int64 `json:"malformed"` // messages that could not be walked to their end
}

// Add adds o to t.
func (t *Tally) Add(o *Tally) {
	t.Messages += o.Messages
	t.Bytes += o.Bytes
	t.Events += o.Events
	t.Ticks += o.Ticks
	t.Snapshots += o.Snapshots
	t.Gaps += o.Gaps
	t.Missed += o.Missed
	t.Acks += o.Acks
	t.Errors += o.Errors
	t.Malformed += o.Malformed
}

// MsgPack counts a batch in MessagePack. It returns the time in the first trade or quote,
// in Unix ns, or 0 if there is none.
func (t *Tally) MsgPack(b []byte) (oldest int64) {
	t.Messages++
	t.Bytes += int64(len(b))
	n, i := head(b, 0)
	for ; n > 0 && i >= 0; n-- {
		at := i
		var ts int64
		if ts, i = tick(b, i); i >= 0 {
			t.Ticks++
			if oldest == 0 {
				oldest = ts
			}
		} else {
			i = t.other(b, at)
		}
		t.Events++
	}
	if i != len(b) {
		t.Malformed++
	}
	return oldest
}

// tick steps over a trade or quote of version 1 with a short name, which nearly every event
// is; anything else gives -1.
func tick(b []byte, i int) (ts int64, next int) {
	if len(b)-i < 4 || b[i] != 0x98 || b[i+1] != 0xa1 || b[i+3]&0xe0 != 0xa0 {
		return 0, -1
	}
	kind := b[i+2]
	i = number(b, i+4+int(b[i+3]&0x1f))
	if i < 0 || len(b)-i < 28 {
		return 0, -1
	}
	ts = int64(binary.BigEndian.Uint64(b[i+1:]))
	switch kind {
	case 'q':
		return ts, ahead(b, i, 45)
	case 't':
		i += 27
		if i = ahead(b, i, 1+int(b[i]&0x1f)); i >= 0 && i < len(b) && b[i]&0xe0 == 0xa0 {
			return ts, ahead(b, i, 1+int(b[i]&0x1f))
		}
	}
	return 0, -1
}

// other counts the event at i, whatever it is, and steps over it.
func (t *Tally) other(b []byte, i int) int {
	n, j := head(b, i)
	if j < 0 || n == 0 {
		return -1
	}
	end := skip(b, i, 0)
	if end < 0 || b[j]&0xe0 != 0xa0 {
		return -1
	}
	name := string(b[j+1 : min(end, j+1+int(b[j]&0x1f))])
	switch name {
	case "t", "q", "b", "a":
		t.Ticks++
	case "snap":
		t.Snapshots++
	case "ack":
		t.Acks++
	case "err":
		t.Errors++
	case "gap":
		j = skip(b, skip(b, skip(b, j, 0), 0), 0) // name, channel, symbol
		t.gap(integer(b, j), integer(b, skip(b, j, 0)))
	}
	return end
}

func (t *Tally) gap(from, to int64) {
	t.Gaps++
	t.Missed += to - from + 1
}

// The steps below return the position after a value, or -1; they take -1 too.

func ahead(b []byte, i, n int) int {
	if n > len(b)-i {
		return -1
	}
	return i + n
}

// number steps over an integer.
func number(b []byte, i int) int {
	if i < 0 || i >= len(b) {
		return -1
	}
	if c := b[i]; c >= 0xcc && c <= 0xd3 {
		return ahead(b, i, 1+1<<((c-0xcc)&3))
	}
	return i + 1
}

// integer reads what number steps over.
func integer(b []byte, i int) int64 {
	end := number(b, i)
	if end < 0 {
		return 0
	}
	if end == i+1 {
		return int64(int8(b[i]))
	}
	v := uint64(0)
	for _, c := range b[i+1 : end] {
		v = v<<8 | uint64(c)
	}
	return int64(v)
}

// head reads the head of an array.
func head(b []byte, i int) (n, next int) {
	switch {
	case i < 0 || i >= len(b):
	case b[i]&0xf0 == 0x90:
		return int(b[i] & 0x0f), i + 1
	case b[i] == 0xdc && len(b)-i >= 3:
		return int(binary.BigEndian.Uint16(b[i+1:])), i + 3
	}
	return 0, -1
}

// skip steps over any value that an event may hold.
func skip(b []byte, i, depth int) int {
	if i < 0 || i >= len(b) || depth > 8 {
		return -1
	}
	n := 0
	switch c := b[i]; {
	case c < 0x80, c >= 0xe0, c == 0xc0, c == 0xc2, c == 0xc3:
		return i + 1
	case c&0xe0 == 0xa0:
		return ahead(b, i, 1+int(c&0x1f))
	case c >= 0xcc && c <= 0xd3:
		return number(b, i)
	case c == 0xca:
		return ahead(b, i, 5)
	case c == 0xcb:
		return ahead(b, i, 9)
	case c == 0xd9 && len(b)-i >= 2:
		return ahead(b, i, 2+int(b[i+1]))
	case c == 0xda && len(b)-i >= 3:
		return ahead(b, i, 3+int(binary.BigEndian.Uint16(b[i+1:])))
	case c&0xf0 == 0x90, c == 0xdc:
		n, i = head(b, i)
	case c&0xf0 == 0x80:
		n, i = 2*int(c&0x0f), i+1
	case c == 0xde && len(b)-i >= 3:
		n, i = 2*int(binary.BigEndian.Uint16(b[i+1:])), i+3
	default:
		return -1
	}
	for ; n > 0 && i >= 0; n-- {
		i = skip(b, i, depth+1)
	}
	return i
}

// AppendBatchHead appends the head of a batch whose events are not counted yet, and
// PutCount fills in how many they are.
func AppendBatchHead(dst []byte) []byte { return append(dst, 0xdc, 0, 0) }

// PutCount fills in the head that begins at b.
func PutCount(b []byte, n int) {
	binary.BigEndian.PutUint16(b[1:], uint16(min(n, math.MaxUint16)))
}
