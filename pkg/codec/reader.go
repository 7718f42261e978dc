package codec

import (
	"bytes"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/tickcast/tickcast/pkg/market"
	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// A reader reads values of exactly the type asked for out of bytes that walk has passed.
// The library by itself would take a float for an integer, bytes or nil for a string, and
// wrap what does not fit. The first failure stays, and every later read gives zero.
type reader struct {
	src bytes.Reader
	dec *msgpack.Decoder
	err error
}

// readers are for requests, which read each of their fields by one.
var readers = sync.Pool{New: func() any { return newReader(nil) }}

func newReader(data []byte) *reader {
	r := &reader{dec: msgpack.NewDecoder(nil)}
	r.reset(data)
	return r
}

// reset begins anew.
func (r *reader) reset(data []byte) {
	r.src.Reset(data)
	r.dec.Reset(&r.src)
	r.err = nil
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
}

func (r *reader) note(err error) {
	if r.err == nil {
		r.err = err
	}
}

// code returns the next type byte, or after a failure one that no value has.
func (r *reader) code() byte {
	if r.err != nil {
		return 0xc1
	}
	c, err := r.dec.PeekCode()
	r.note(err)
	return c
}

func isInt(c byte) bool {
	return msgpcode.IsFixedNum(c) || c >= msgpcode.Uint8 && c <= msgpcode.Int64
}

func (r *reader) str() string {
	if c := r.code(); !msgpcode.IsString(c) {
		r.fail("want a string")
		return ""
	}
	s, err := r.dec.DecodeString()
	r.note(err)
	return s
}

func (r *reader) int() int64 {
	c := r.code()
	if !isInt(c) {
		r.fail("want an integer")
		return 0
	}
	v, err := r.dec.DecodeInt64()
	r.note(err)
	if c == msgpcode.Uint64 && v < 0 {
		r.fail("want an integer below 2^63")
		return 0
	}
	return v
}

// float takes an integer too: JSON writes 100.0 as 100.
func (r *reader) float() float64 {
	c := r.code()
	switch {
	case c == msgpcode.Uint64:
		v, err := r.dec.DecodeUint64()
		r.note(err)
		return float64(v)
	case isInt(c):
		return float64(r.int())
	case c != msgpcode.Double && c != msgpcode.Float:
		r.fail("want a number")
		return 0
	}
	v, err := r.dec.DecodeFloat64()
	r.note(err)
	return v
}

func (r *reader) bool() bool {
	if c := r.code(); c != msgpcode.True && c != msgpcode.False {
		r.fail("want true or false")
		return false
	}
	v, err := r.dec.DecodeBool()
	r.note(err)
	return v
}

func (r *reader) array() int {
	if c := r.code(); !msgpcode.IsFixedArray(c) && c != msgpcode.Array16 && c != msgpcode.Array32 {
		r.fail("want an array")
		return 0
	}
	n, err := r.dec.DecodeArrayLen()
	r.note(err)
	return n
}

func (r *reader) mapLen() int {
	if c := r.code(); !msgpcode.IsFixedMap(c) && c != msgpcode.Map16 && c != msgpcode.Map32 {
		r.fail("want a map")
		return 0
	}
	n, err := r.dec.DecodeMapLen()
	r.note(err)
	return n
}

// entries calls each with every key of a map; each reads or skips the value.
func (r *reader) entries(each func(key string)) {
	for n := r.mapLen(); n > 0 && r.err == nil; n-- {
		each(r.str())
	}
}

// null steps over a nil, and reports whether there was one.
func (r *reader) null() bool {
	if r.code() != msgpcode.Nil {
		return false
	}
	r.note(r.dec.DecodeNil())
	return true
}

func (r *reader) skip() {
	if r.err == nil {
		r.err = r.dec.Skip()
	}
}

// id reads an integer or nil.
func (r *reader) id() *int64 {
	if r.null() {
		return nil
	}
	v := r.int()
	if r.err != nil {
		return nil
	}
	return &v
}

func (r *reader) strings() []string {
	n := r.array()
	all := make([]string, 0, min(n, r.src.Len())) // each takes a byte at least
	for ; n > 0 && r.err == nil; n-- {
		all = append(all, r.str())
	}
	return all
}

func (r *reader) millis() time.Duration {
	ms := r.int()
	if ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		r.fail("want milliseconds, got %d", ms)
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// channel reports false for a channel that this version does not know.
func (r *reader) channel() (market.Channel, bool) { return market.ParseChannel(r.str()) }
