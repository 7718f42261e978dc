package codec

import (
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends the JSON text of rec, one msgpack value, and returns the grown slice.
// Integers are written digit by digit, floats in the shortest form that reads back the
// same. On error dst is as it was: [ErrMalformed] for what is not one whole value, is
// deeper than [MaxDepth], or has no JSON form (bin, ext, NaN, keys that are no strings).
func AppendJSON(dst, rec []byte) ([]byte, error) {
	grown, i, err := appendJSONValue(dst, rec, 0, 1)
	if err != nil {
		return dst, err
	}
	if i != len(rec) {
		return dst, fmt.Errorf("%w: %d bytes after the value", ErrMalformed, len(rec)-i)
	}
	return grown, nil
}

func appendJSONValue(dst, buf []byte, i, level int) ([]byte, int, error) {
	if i >= len(buf) {
		return dst, i, fmt.Errorf("%w: ends at byte %d", ErrMalformed, i)
	}
	switch c := buf[i]; {
	case c == mpFloat64:
		if next := floatAt(buf, i); next > 0 {
			return appendJSONFloat(dst, math.Float64frombits(be.Uint64(buf[i+1:]))), next, nil
		}
	case c == mpFloat32:
		if next := walk(buf, i, level, hasTwin); next > 0 {
			return appendJSONFloat(dst, float64(float32At(buf, i))), next, nil
		}
	case c&0xe0 == mpFixStr, c >= mpStr8 && c <= mpStr32:
		if s, next := strAt(buf, i); next > 0 && utf8.Valid(s) {
			return appendJSONString(dst, s), next, nil
		}
	case c >= mpFixMap && c < mpFixStr, c >= mpArray16 && c < mpNegative:
		return appendJSONInside(dst, buf, i, level)
	case c == mpNil:
		return append(dst, "null"...), i + 1, nil
	case c == mpFalse:
		return append(dst, "false"...), i + 1, nil
	case c == mpTrue:
		return append(dst, "true"...), i + 1, nil
	case c == mpUint64:
		if next := ahead(buf, i, 9); next > 0 {
			return strconv.AppendUint(dst, be.Uint64(buf[i+1:]), 10), next, nil
		}
	default:
		if v, next := intAt(buf, i); next > 0 {
			return strconv.AppendInt(dst, v, 10), next, nil
		}
	}
	return dst, i, fmt.Errorf("%w: type byte %#x at byte %d", ErrMalformed, buf[i], i)
}

// appendJSONInside writes an array or a map and what is in it.
func appendJSONInside(dst, buf []byte, i, level int) ([]byte, int, error) {
	if level > MaxDepth {
		return dst, i, fmt.Errorf("%w: deeper than %d levels", ErrMalformed, MaxDepth)
	}
	start, isMap := i, false
	n, i := arrayAt(buf, start)
	if i < 0 {
		isMap = true
		n, i = mapAt(buf, start)
	}
	if i < 0 {
		return dst, start, fmt.Errorf("%w: length at byte %d", ErrMalformed, start)
	}
	open, shut := byte('['), byte(']')
	if isMap {
		open, shut = '{', '}'
	}
	dst = append(dst, open)
	var err error
	for k := range n {
		if k > 0 {
			dst = append(dst, ',')
		}
		if isMap {
			key, next := strAt(buf, i)
			if next < 0 || !utf8.Valid(key) {
				return dst, i, fmt.Errorf("%w: map key at byte %d", ErrMalformed, i)
			}
			dst = append(appendJSONString(dst, key), ':')
			i = next
		}
		if dst, i, err = appendJSONValue(dst, buf, i, level+1); err != nil {
			return dst, i, err
		}
	}
	return append(dst, shut), i, nil
}

// appendJSONFloat writes plain digits where people would, and an exponent outside that.
func appendJSONFloat(dst []byte, f float64) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-9 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, 64)
}

const hexDigits = "0123456789abcdef"

// appendJSONString escapes what JSON must have escaped and nothing else.
func appendJSONString(dst, s []byte) []byte {
	dst = append(dst, '"')
	plain := 0 // s[plain:i] waits to be copied
	for i, c := range s {
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[plain:i]...)
		plain = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0x0f])
		}
	}
	return append(append(dst, s[plain:]...), '"')
}
