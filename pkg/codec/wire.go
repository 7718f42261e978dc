package codec

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// The MessagePack type bytes that are used or told apart here.
const (
	mpFixMap   = 0x80
	mpFixArray = 0x90
	mpFixStr   = 0xa0
	mpNil      = 0xc0
	mpFalse    = 0xc2
	mpTrue     = 0xc3
	mpBin8     = 0xc4
	mpBin32    = 0xc6
	mpExt8     = 0xc7
	mpExt32    = 0xc9
	mpFloat32  = 0xca
	mpFloat64  = 0xcb
	mpUint8    = 0xcc
	mpUint16   = 0xcd
	mpUint32   = 0xce
	mpUint64   = 0xcf
	mpInt8     = 0xd0
	mpInt16    = 0xd1
	mpInt32    = 0xd2
	mpInt64    = 0xd3
	mpFixExt1  = 0xd4
	mpFixExt16 = 0xd8
	mpStr8     = 0xd9
	mpStr16    = 0xda
	mpStr32    = 0xdb
	mpArray16  = 0xdc
	mpArray32  = 0xdd
	mpMap16    = 0xde
	mpMap32    = 0xdf
	mpNegative = 0xe0
)

var be = binary.BigEndian

func appendArray(dst []byte, n int) []byte {
	switch {
	case n < 16:
		return append(dst, mpFixArray|byte(n))
	case n <= math.MaxUint16:
		return be.AppendUint16(append(dst, mpArray16), uint16(n))
	}
	return be.AppendUint32(append(dst, mpArray32), uint32(n))
}

func appendMap(dst []byte, n int) []byte {
	switch {
	case n < 16:
		return append(dst, mpFixMap|byte(n))
	case n <= math.MaxUint16:
		return be.AppendUint16(append(dst, mpMap16), uint16(n))
	}
	return be.AppendUint32(append(dst, mpMap32), uint32(n))
}

func appendStr[T string | []byte](dst []byte, s T) []byte {
	switch n := len(s); {
	case n < 32:
		dst = append(dst, mpFixStr|byte(n))
	case n <= math.MaxUint8:
		dst = append(dst, mpStr8, byte(n))
	case n <= math.MaxUint16:
		dst = be.AppendUint16(append(dst, mpStr16), uint16(n))
	default:
		dst = be.AppendUint32(append(dst, mpStr32), uint32(n))
	}
	return append(dst, s...)
}

// appendInt writes the smallest form.
func appendInt(dst []byte, v int64) []byte {
	switch {
	case v >= 0 && v < 0x80:
		return append(dst, byte(v))
	case v >= 0:
		return appendUint(dst, uint64(v))
	case v >= -32:
		return append(dst, byte(v))
	case v >= math.MinInt8:
		return append(dst, mpInt8, byte(v))
	case v >= math.MinInt16:
		return be.AppendUint16(append(dst, mpInt16), uint16(v))
	case v >= math.MinInt32:
		return be.AppendUint32(append(dst, mpInt32), uint32(v))
	}
	return be.AppendUint64(append(dst, mpInt64), uint64(v))
}

func appendUint(dst []byte, v uint64) []byte {
	switch {
	case v < 0x80:
		return append(dst, byte(v))
	case v <= math.MaxUint8:
		return append(dst, mpUint8, byte(v))
	case v <= math.MaxUint16:
		return be.AppendUint16(append(dst, mpUint16), uint16(v))
	case v <= math.MaxUint32:
		return be.AppendUint32(append(dst, mpUint32), uint32(v))
	}
	return be.AppendUint64(append(dst, mpUint64), v)
}

// appendTime always writes an int64, so that a record's times sit at fixed distances.
func appendTime(dst []byte, ns int64) []byte {
	return be.AppendUint64(append(dst, mpInt64), uint64(ns))
}

func appendFloat(dst []byte, f float64) []byte {
	return be.AppendUint64(append(dst, mpFloat64), math.Float64bits(f))
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, mpTrue)
	}
	return append(dst, mpFalse)
}

// textLegal reports UTF-8 without control characters.
func textLegal[T string | []byte](s T) bool {
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < 0x7f {
			i++
			continue
		}
		if c < 0x80 {
			return false
		}
		r, n := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
		if r == utf8.RuneError && n == 1 || r < 0xa0 {
			return false
		}
		i += n
	}
	return true
}

func finite(f float64) bool { return f-f == 0 }

// The readers below take a buffer and a position and return the position after what they
// read, or -1 where it is not there whole or of another type. They take -1 too, so a
// record is a chain of them with one check at its end.

func timeAt(buf []byte, i int) int {
	if i < 0 || len(buf)-i < 9 || buf[i] != mpInt64 {
		return -1
	}
	return i + 9
}

// floatAt refuses NaN and the infinities: an exponent of all ones.
func floatAt(buf []byte, i int) int {
	if i < 0 || len(buf)-i < 9 || buf[i] != mpFloat64 || be.Uint16(buf[i+1:])&0x7ff0 == 0x7ff0 {
		return -1
	}
	return i + 9
}

func boolAt(buf []byte, i int) int {
	if i < 0 || i >= len(buf) || buf[i]&^1 != mpFalse {
		return -1
	}
	return i + 1
}

// intAt reads an integer of any form that an int64 holds.
func intAt(buf []byte, i int) (int64, int) {
	if i < 0 || i >= len(buf) {
		return 0, -1
	}
	c, rest := buf[i], buf[i+1:]
	i++
	switch {
	case c < 0x80, c >= mpNegative:
		return int64(int8(c)), i
	case c == mpUint8 && len(rest) >= 1:
		return int64(rest[0]), i + 1
	case c == mpUint16 && len(rest) >= 2:
		return int64(be.Uint16(rest)), i + 2
	case c == mpUint32 && len(rest) >= 4:
		return int64(be.Uint32(rest)), i + 4
	case c == mpInt64 && len(rest) >= 8, c == mpUint64 && len(rest) >= 8 && rest[0] < 0x80:
		return int64(be.Uint64(rest)), i + 8
	case c == mpInt8 && len(rest) >= 1:
		return int64(int8(rest[0])), i + 1
	case c == mpInt16 && len(rest) >= 2:
		return int64(int16(be.Uint16(rest))), i + 2
	case c == mpInt32 && len(rest) >= 4:
		return int64(int32(be.Uint32(rest))), i + 4
	}
	return 0, -1
}

// strAt returns the bytes of a string, which alias buf. It does not look at them.
func strAt(buf []byte, i int) ([]byte, int) {
	if i < 0 || i >= len(buf) {
		return nil, -1
	}
	var n uint64
	switch c := buf[i]; {
	case c&0xe0 == mpFixStr:
		n, i = uint64(c&0x1f), i+1
	case c == mpStr8 && len(buf)-i >= 2:
		n, i = uint64(buf[i+1]), i+2
	case c == mpStr16 && len(buf)-i >= 3:
		n, i = uint64(be.Uint16(buf[i+1:])), i+3
	case c == mpStr32 && len(buf)-i >= 5:
		n, i = uint64(be.Uint32(buf[i+1:])), i+5
	default:
		return nil, -1
	}
	if uint64(len(buf)-i) < n {
		return nil, -1
	}
	end := i + int(n)
	return buf[i:end], end
}

// headAt reads the head of an array (fix, c16, c32 of arrays) or of a map. n is no larger
// than the bytes that follow, since an element takes at least one.
func headAt(buf []byte, i int, fix, c16, c32 byte) (n, next int) {
	if i < 0 || i >= len(buf) {
		return 0, -1
	}
	switch c := buf[i]; {
	case c&0xf0 == fix:
		n, i = int(c&0x0f), i+1
	case c == c16 && len(buf)-i >= 3:
		n, i = int(be.Uint16(buf[i+1:])), i+3
	case c == c32 && len(buf)-i >= 5:
		n, i = int(min(be.Uint32(buf[i+1:]), math.MaxInt32)), i+5
	default:
		return 0, -1
	}
	if n > len(buf)-i {
		return 0, -1
	}
	return n, i
}

func arrayAt(buf []byte, i int) (n, next int) {
	return headAt(buf, i, mpFixArray, mpArray16, mpArray32)
}

func mapAt(buf []byte, i int) (n, next int) {
	return headAt(buf, i, mpFixMap, mpMap16, mpMap32)
}
