package wire

import (
	"bytes"
	"strconv"
)

// JSON counts a batch in JSON, as MsgPack does for its own.
func (t *Tally) JSON(b []byte) (oldest int64) {
	t.Messages++
	t.Bytes += int64(len(b))
	depth, from, quoted := 0, 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth == 2 {
				from = i
			}
		case c == ']' || c == '}':
			if depth--; depth == 1 {
				if ts := t.event(b[from : i+1]); oldest == 0 {
					oldest = ts
				}
			}
		}
	}
	if depth != 0 || quoted || len(b) == 0 {
		t.Malformed++
	}
	return oldest
}

// event counts one event and returns the time in it if it is a trade or a quote.
func (t *Tally) event(b []byte) int64 {
	t.Events++
	name, rest, _ := bytes.Cut(bytes.TrimPrefix(b, []byte(`["`)), []byte(`"`))
	switch string(name) {
	case "t", "q":
		t.Ticks++
		return elementInt(rest, 3)
	case "b", "a":
		t.Ticks++
	case "snap":
		t.Snapshots++
	case "ack":
		t.Acks++
	case "err":
		t.Errors++
	case "gap":
		t.gap(elementInt(rest, 3), elementInt(rest, 4))
	}
	return 0
}

// elementInt reads the nth element behind an event's name, an integer.
func elementInt(rest []byte, n int) int64 {
	quoted := false
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			if n--; n == 0 {
				end := i + 1
				for end < len(rest) && (rest[end] >= '0' && rest[end] <= '9' || rest[end] == '-') {
					end++
				}
				v, _ := strconv.ParseInt(string(rest[i+1:end]), 10, 64)
				return v
			}
		}
	}
	return 0
}
