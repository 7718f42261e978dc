package codec

import (
	"math"
	"unicode/utf8"
)

// strictness is what walk asks of a value beyond being whole, UTF-8 and of bounded depth.
type strictness bool

const (
	wellFormed strictness = false
	// hasTwin also refuses what JSON cannot say: bin, ext, numbers that are not finite, and
	// map keys that are not strings. No event of any version holds these.
	hasTwin strictness = true
)

// walk returns the position after the value at buf[i:], or -1 if it is malformed. level is
// how deep the value lies: 1 for a whole message. It allocates nothing and takes at most
// one step a byte, whatever lengths the bytes declare.
func walk(buf []byte, i, level int, s strictness) int {
	if i < 0 || i >= len(buf) {
		return -1
	}
	switch c := buf[i]; {
	case c < mpFixMap, c >= mpNegative, c == mpNil, c == mpFalse, c == mpTrue:
		return i + 1
	case c&0xe0 == mpFixStr, c >= mpStr8 && c <= mpStr32:
		b, next := strAt(buf, i)
		if next < 0 || !utf8.Valid(b) {
			return -1
		}
		return next
	case c < mpFixStr, c >= mpArray16:
		return walkInside(buf, i, level, s)
	case c >= mpUint8 && c <= mpInt64:
		return ahead(buf, i, 1+1<<((c-mpUint8)&3))
	case c == mpFloat64 && s == hasTwin:
		return floatAt(buf, i)
	case c == mpFloat64:
		return ahead(buf, i, 9)
	case c == mpFloat32:
		next := ahead(buf, i, 5)
		if next > 0 && s == hasTwin && !finite(float64(float32At(buf, i))) {
			return -1
		}
		return next
	case s == hasTwin:
		return -1
	case c >= mpFixExt1 && c <= mpFixExt16:
		return ahead(buf, i, 2+1<<(c-mpFixExt1))
	case c >= mpBin8 && c <= mpBin32:
		return sized(buf, i, 1<<(c-mpBin8), 0)
	case c >= mpExt8 && c <= mpExt32:
		return sized(buf, i, 1<<(c-mpExt8), 1)
	}
	return -1 // 0xc1, which MessagePack never uses
}

// walkInside walks an array or a map and what is in it.
func walkInside(buf []byte, i, level int, s strictness) int {
	if level > MaxDepth {
		return -1
	}
	isMap := false
	n, next := arrayAt(buf, i)
	if next < 0 {
		isMap = true
		n, next = mapAt(buf, i)
	}
	for ; n > 0 && next >= 0; n-- {
		if isMap {
			if s == hasTwin {
				if _, end := strAt(buf, next); end < 0 {
					return -1
				}
			}
			next = walk(buf, next, level+1, s)
		}
		next = walk(buf, next, level+1, s)
	}
	return next
}

func float32At(buf []byte, i int) float32 {
	return math.Float32frombits(be.Uint32(buf[i+1:]))
}

// ahead steps over n bytes.
func ahead(buf []byte, i, n int) int {
	if n > len(buf)-i {
		return -1
	}
	return i + n
}

// sized steps over a type byte, a length of width bytes, extra bytes and that length.
func sized(buf []byte, i, width, extra int) int {
	head := 1 + width + extra
	if head > len(buf)-i {
		return -1
	}
	n := uint64(0)
	for _, b := range buf[i+1 : i+1+width] {
		n = n<<8 | uint64(b)
	}
	if n > uint64(len(buf)-i-head) {
		return -1
	}
	return i + head + int(n)
}
