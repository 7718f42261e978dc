package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tickcast/tickcast/pkg/market"
)

var (
	errFrame = errors.New("not a receive time and a JSON object")
	errJSON  = errors.New("malformed JSON")
	errField = errors.New("field missing")
)

const (
	recvDigits = 19 // of Unix nanoseconds, since 2001
	jsonDepth  = 32
)

// parseBinanceFrame reads "<receive time, ns> <frame>". The frame of a combined stream is
// {"stream":...,"data":{...}}; a single stream's has no such wrapping.
func parseBinanceFrame(line []byte, ev *event) error {
	if len(line) < recvDigits+3 || line[recvDigits] != ' ' || line[recvDigits+1] != '{' || line[len(line)-1] != '}' {
		return errFrame
	}
	recv, err := parseTime(line[:recvDigits], 1)
	if err != nil {
		return err
	}
	frame := line[recvDigits+1:]
	// Most bytes of a recording are order books: not worth a look inside.
	if s, ok := bytes.CutPrefix(frame, []byte(`{"stream":"`)); ok {
		if end := bytes.IndexByte(s, '"'); end >= 0 && bytes.Contains(s[:end], []byte("@depth")) {
			return errSkip
		}
	}
	payload := frame
	f := fieldsOf(frame)
	for f.next() {
		if string(f.key) == "data" {
			payload = f.value
		}
	}
	if f.err() != nil {
		return f.err()
	}
	if payload[0] != '{' {
		return errSkip
	}
	ev.key = recv
	return parsePayload(payload, recv, ev)
}

// parsePayload reads a trade, or the best bid and ask ("book ticker").
func parsePayload(payload []byte, recv int64, ev *event) error {
	// By name: one letter each, and E is not e.
	var v ['z' + 1][]byte
	f := fieldsOf(payload)
	for f.next() {
		if len(f.key) == 1 && f.key[0] <= 'z' {
			v[f.key[0]] = f.value
		}
	}
	if f.err() != nil {
		return f.err()
	}
	kind := string(text(v['e']))
	switch {
	case kind == "trade":
		if err := need(&v, "stpqTm"); err != nil {
			return err
		}
	case kind == "bookTicker", kind == "" && v['u'] != nil && v['b'] != nil && v['A'] != nil:
		if err := need(&v, "subBaA"); err != nil {
			return err
		}
	default:
		return errSkip
	}
	symbol, err := unescaped(v['s'])
	if err != nil {
		return err
	}
	ev.venue, ev.symbol = nil, symbol
	if kind == "trade" {
		return frameTrade(&v, ev)
	}
	return frameQuote(&v, recv, ev)
}

func need(v *['z' + 1][]byte, keys string) error {
	for _, k := range []byte(keys) {
		if v[k] == nil {
			return fmt.Errorf("%w: %c", errField, k)
		}
	}
	return nil
}

func frameTrade(v *['z' + 1][]byte, ev *event) error {
	var got reader
	id := text(v['t'])
	ev.id = got.id(id)
	t := market.Trade{ID: string(id)}
	t.Time = got.time(v['T'], time.Millisecond)
	t.Price = got.price(text(v['p']))
	t.Size = got.amount(text(v['q']))
	t.Side = got.takerSide(v['m'], "true", "false")
	if got.err != nil {
		return got.err
	}
	ev.channel, ev.trade = market.ChannelTrade, t
	return checkClocks(t.Time, ev.key)
}

// frameQuote takes the matching engine's time where there is one, else when the frame was
// made, else (spot) when it was received.
func frameQuote(v *['z' + 1][]byte, recv int64, ev *event) error {
	var got reader
	ev.id = got.id(v['u'])
	q := market.Quote{Time: recv}
	if v['T'] != nil {
		q.Time = got.time(v['T'], time.Millisecond)
	} else if v['E'] != nil {
		q.Time = got.time(v['E'], time.Millisecond)
	}
	q.BidPrice, q.BidSize = got.amount(text(v['b'])), got.amount(text(v['B']))
	q.AskPrice, q.AskSize = got.amount(text(v['a'])), got.amount(text(v['A']))
	if got.err != nil {
		return got.err
	}
	ev.channel, ev.quote = market.ChannelQuote, q
	return checkClocks(q.Time, ev.key)
}

// venueOfFrames tells Binance's three markets apart by fields that only one of them has.
// The name of the file, if it says so, is a quicker answer.
func venueOfFrames(lines [][]byte) string {
	venue := "binance-spot"
	for _, line := range lines {
		switch {
		case bytes.Contains(line, []byte(`"ps":"`)):
			return "binance-coinm"
		case bytes.Contains(line, []byte(`"pu":`)), bytes.Contains(line, []byte(`"X":"`)),
			bytes.Contains(line, []byte(`"e":"bookTicker"`)):
			venue = "binance-usdm"
		}
	}
	return venue
}

// text returns a JSON string's inside, and any other value as it is.
func text(value []byte) []byte {
	if len(value) >= 2 && value[0] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}

func unescaped(value []byte) ([]byte, error) {
	if bytes.IndexByte(value, '\\') < 0 {
		return text(value), nil
	}
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", errJSON, err)
	}
	return []byte(s), nil
}

// fields walks the members of one JSON object. Only their bounds are found: encoding/json
// takes "E" for "e" where it knows only one of them, and 10 times as long.
type fields struct {
	key, value []byte // as they are in the text; the key without quotes
	rest       []byte
	failed     bool
	started    bool
}

func fieldsOf(object []byte) fields { return fields{rest: object[1:]} }

func (f *fields) err() error {
	if f.failed {
		return errJSON
	}
	return nil
}

// next moves to the next member. It is false at the end of the object, after which only
// space may come, and at what is no JSON.
func (f *fields) next() bool {
	b := space(f.rest)
	f.failed = true
	if len(b) == 0 {
		return false
	}
	if b[0] == '}' {
		f.failed = len(space(b[1:])) > 0
		return false
	}
	if f.started {
		if b[0] != ',' {
			return false
		}
		b = space(b[1:])
	}
	f.started = true
	n := valueEnd(b)
	if n < 2 || b[0] != '"' {
		return false
	}
	f.key, b = b[1:n-1], space(b[n:])
	if len(b) == 0 || b[0] != ':' {
		return false
	}
	b = space(b[1:])
	if n = valueEnd(b); n <= 0 {
		return false
	}
	f.value, f.rest = b[:n], b[n:]
	f.failed = false
	return true
}

// valueEnd returns the length of the JSON value at the front of b, 0 if there is none. What
// is inside arrays and objects is not checked beyond its nesting.
func valueEnd(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	switch b[0] {
	case '"':
		return stringEnd(b)
	case '{', '[':
		return nestEnd(b)
	}
	n := 0
	for n < len(b) && bytes.IndexByte([]byte(",}] \t"), b[n]) < 0 {
		n++
	}
	return n
}

func stringEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

func nestEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			n := stringEnd(b[i:])
			if n == 0 {
				return 0
			}
			i += n - 1
		case '{', '[':
			if depth++; depth > jsonDepth {
				return 0
			}
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

func space(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}
