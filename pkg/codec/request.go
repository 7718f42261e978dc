package codec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tickcast/tickcast/pkg/market"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// Op is what a request asks for.
type Op string

// The requests of version 1.
const (
	OpAuth        Op = "auth"
	OpSubscribe   Op = "subscribe"
	OpUnsubscribe Op = "unsubscribe"
	OpStats       Op = "stats"
	OpPing        Op = "ping"
)

// intervalMSMax bounds how long a subscriber may ask ticks to be held back.
const intervalMSMax = 60_000

var policyNames = []string{"conflate", "drop_oldest", "drop_newest", "aggregate", "disconnect"}

// Request is what a client sends. Fields that are not of its Op are left zero.
type Request struct {
	Op Op
	ID *int64 // nil if the client gave none

	Token string // auth

	// subscribe and unsubscribe: each name once, in the order sent. Symbols need not be
	// legal: the node rejects them one by one. The wildcard stands alone.
	Channels []market.Channel
	Symbols  []string

	// subscribe
	NoSnapshot bool
	IntervalMS *int64                  // 0 to 60,000; nil means the server's
	Policy     string                  // one of the protocol's; "" means the channel's default
	After      map[market.Stream]int64 // the last seq that the client has

	EveryMS int64 // stats: 0 or more, 0 means off
}

// RequestError says why a request cannot be obeyed, as an err event will.
type RequestError struct {
	ID      *int64 // the request's, wherever it could be read
	Code    Code
	Message string // names the field
}

// Error makes it an error.
func (e *RequestError) Error() string { return fmt.Sprintf("codec: request: %s", e.Message) }

// DecodeRequest reads one request. Unknown fields are ignored, of a repeated field the
// last counts, and an optional one that is nil counts as left out. Whatever is wrong is
// [CodeBadRequest]. Memory taken is proportional to data, whatever data declares.
func DecodeRequest(e Encoding, data []byte) (Request, *RequestError) {
	var room [8]requestField // for all that a known request has
	fields, err := fieldsOf(room[:0], e, data)
	if err != nil {
		return Request{}, &RequestError{Code: CodeBadRequest, Message: strings.TrimPrefix(err.Error(), "codec: ")}
	}
	d := requestDecoder{fields: fields}
	q := Request{ID: d.id()}
	d.decode(&q)
	if d.problem != "" {
		return Request{}, &RequestError{ID: q.ID, Code: CodeBadRequest, Message: d.problem}
	}
	return q, nil
}

// requestFields are the msgpack values of a request's fields, in the order sent. Looking
// through them costs less than to make a map: few have more than five.
type requestFields []requestField

type requestField struct{ name, value []byte }

// of returns the last value of the name, nil if there is none.
func (f requestFields) of(name string) []byte {
	for i := len(f) - 1; i >= 0; i-- {
		if string(f[i].name) == name {
			return f[i].value
		}
	}
	return nil
}

// fieldsOf appends a request's fields to dst.
func fieldsOf(dst requestFields, e Encoding, data []byte) (requestFields, error) {
	message, err := canonical(e, data, wellFormed)
	if err != nil {
		return nil, err
	}
	n, i := mapAt(message, 0)
	if i < 0 {
		return nil, fmt.Errorf("%w: want a map", ErrMalformed)
	}
	for ; n > 0; n-- {
		key, value := strAt(message, i)
		if value < 0 {
			return nil, fmt.Errorf("%w: want a string", ErrMalformed)
		}
		i = walk(message, value, 2, wellFormed)
		dst = append(dst, requestField{key, message[value:i]})
	}
	return dst, nil
}

// requestDecoder reads fields and remembers the first problem.
type requestDecoder struct {
	fields  requestFields
	problem string
}

func (d *requestDecoder) wrong(format string, args ...any) {
	if d.problem == "" {
		d.problem = fmt.Sprintf(format, args...)
	}
}

func (d *requestDecoder) decode(q *Request) {
	d.required("op", "a string", func(r *reader) { q.Op = Op(r.str()) })
	if d.problem != "" {
		return
	}
	switch q.Op {
	case OpAuth:
		d.required("token", "a string", func(r *reader) { q.Token = r.str() })
	case OpSubscribe:
		d.names(q)
		q.NoSnapshot = !d.snapshot()
		d.interval(q)
		d.policy(q)
		d.after(q)
	case OpUnsubscribe:
		d.names(q)
	case OpStats:
		d.required("every_ms", "an integer", func(r *reader) { q.EveryMS = r.int() })
		if q.EveryMS < 0 {
			d.wrong("every_ms: %d is negative", q.EveryMS)
		}
	case OpPing:
	default:
		d.wrong("op: %.40q is unknown", string(q.Op))
	}
}

// required reads a field; want says of what type.
func (d *requestDecoder) required(name, want string, read func(*reader)) {
	raw := d.fields.of(name)
	if raw == nil {
		d.wrong("%s: missing", name)
		return
	}
	r := readers.Get().(*reader)
	defer readers.Put(r)
	r.reset(raw)
	if read(r); r.err != nil {
		d.wrong("%s: want %s", name, want)
	}
}

// optional is required for a field that may be missing or nil.
func (d *requestDecoder) optional(name, want string, read func(*reader)) {
	if raw := d.fields.of(name); raw != nil && raw[0] != msgpcode.Nil {
		d.required(name, want, read)
	}
}

func (d *requestDecoder) id() (id *int64) {
	d.optional("id", "a 64-bit integer", func(r *reader) { id = r.id() })
	return id
}

func (d *requestDecoder) names(q *Request) {
	var channels []string
	d.required("channels", "an array of strings", func(r *reader) { channels = r.strings() })
	if len(channels) == 0 {
		d.wrong("channels: none named")
	}
	for _, name := range channels {
		c, ok := market.ParseChannel(name)
		if !ok {
			d.wrong("channels: %.40q is unknown", name)
		}
		if !slices.Contains(q.Channels, c) {
			q.Channels = append(q.Channels, c)
		}
	}
	d.required("symbols", "an array of strings", func(r *reader) { q.Symbols = folded(r.strings()) })
	if len(q.Symbols) == 0 {
		d.wrong("symbols: none named")
	}
	if len(q.Symbols) > 1 && slices.Contains(q.Symbols, market.Wildcard) {
		d.wrong("symbols: %q stands alone", market.Wildcard)
	}
}

// foldedMax is how many names are compared one by one: a map for so few costs more.
const foldedMax = 32

// folded keeps the first of each name, in place.
func folded(names []string) []string {
	if len(names) <= foldedMax {
		kept := names[:0]
		for _, name := range names {
			if !slices.Contains(kept, name) {
				kept = append(kept, name)
			}
		}
		return kept
	}
	seen := make(map[string]struct{}, len(names))
	return slices.DeleteFunc(names, func(s string) bool {
		_, again := seen[s]
		seen[s] = struct{}{}
		return again
	})
}

func (d *requestDecoder) snapshot() bool {
	wanted := true
	d.optional("snapshot", "true or false", func(r *reader) { wanted = r.bool() })
	return wanted
}

func (d *requestDecoder) interval(q *Request) {
	d.optional("interval_ms", "an integer", func(r *reader) {
		ms := r.int()
		q.IntervalMS = &ms
	})
	if ms := q.IntervalMS; ms != nil && (*ms < 0 || *ms > intervalMSMax) {
		d.wrong("interval_ms: %d is not in 0 to %d", *ms, intervalMSMax)
	}
}

func (d *requestDecoder) policy(q *Request) {
	d.optional("policy", "a string", func(r *reader) {
		q.Policy = r.str()
		if r.err == nil && !slices.Contains(policyNames, q.Policy) {
			d.wrong("policy: %.40q is unknown", q.Policy)
		}
	})
}

func (d *requestDecoder) after(q *Request) {
	var seqs [market.Channels]map[string]int64 // of a channel named twice the last counts, whole
	d.optional("after", "{channel: {symbol: seq}}", func(r *reader) {
		r.entries(func(name string) {
			channel, ok := market.ParseChannel(name)
			if !ok {
				d.wrong("after: channel %.40q is unknown", name)
			}
			seqs[channel] = make(map[string]int64)
			r.entries(func(symbol string) {
				seq := r.int()
				if seq < 0 {
					d.wrong("after: %.80q: seq %d is negative", symbol, seq)
				}
				seqs[channel][symbol] = seq
			})
		})
	})
	for c, bySymbol := range seqs {
		for symbol, seq := range bySymbol {
			if q.After == nil {
				q.After = make(map[market.Stream]int64)
			}
			q.After[market.Stream{Channel: market.Channel(c), Symbol: symbol}] = seq
		}
	}
}

// AppendRequest appends q in encoding e to dst and returns the grown slice. It writes only
// the fields of q.Op, and fails, with a *[RequestError] and dst as it was, on what
// [DecodeRequest] would refuse. It does not keep to [MaxRequestBytes].
func AppendRequest(dst []byte, e Encoding, q *Request) ([]byte, error) {
	body := appendStr(nil, "op")
	body = appendStr(body, string(q.Op))
	n := 1
	field := func(name string) {
		body = appendStr(body, name)
		n++
	}
	if q.ID != nil {
		field("id")
		body = appendInt(body, *q.ID)
	}
	switch q.Op {
	case OpAuth:
		field("token")
		body = appendStr(body, q.Token)
	case OpStats:
		field("every_ms")
		body = appendInt(body, q.EveryMS)
	case OpSubscribe, OpUnsubscribe:
		field("channels")
		body = appendArray(body, len(q.Channels))
		for _, c := range q.Channels {
			body = appendStr(body, c.String())
		}
		field("symbols")
		body = appendArray(body, len(q.Symbols))
		for _, s := range q.Symbols {
			body = appendStr(body, s)
		}
	}
	if q.Op == OpSubscribe {
		if q.NoSnapshot {
			field("snapshot")
			body = appendBool(body, false)
		}
		if q.IntervalMS != nil {
			field("interval_ms")
			body = appendInt(body, *q.IntervalMS)
		}
		if q.Policy != "" {
			field("policy")
			body = appendStr(body, q.Policy)
		}
		if len(q.After) > 0 {
			field("after")
			body = appendAfter(body, q.After)
		}
	}
	message := append(appendMap(nil, n), body...)
	if _, err := DecodeRequest(MsgPack, message); err != nil {
		return dst, err
	}
	if e == JSON {
		return AppendJSON(dst, message)
	}
	return append(dst, message...), nil
}

func appendAfter(dst []byte, after map[market.Stream]int64) []byte {
	symbols := make(map[market.Channel][]string)
	for s := range after {
		symbols[s.Channel] = append(symbols[s.Channel], s.Symbol)
	}
	dst = appendMap(dst, len(symbols))
	for _, c := range slices.Sorted(maps.Keys(symbols)) {
		dst = appendMap(appendStr(dst, c.String()), len(symbols[c]))
		slices.Sort(symbols[c])
		for _, symbol := range symbols[c] {
			dst = appendInt(appendStr(dst, symbol), after[market.Stream{Channel: c, Symbol: symbol}])
		}
	}
	return dst
}
