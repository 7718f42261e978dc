package codec

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tickcast/tickcast/pkg/market"
)

// The names of the events that are no ticks.
const (
	nameHello     = "hello"
	nameAck       = "ack"
	nameError     = "err"
	namePong      = "pong"
	nameStat      = "stat"
	nameHeartbeat = "hb"
	nameBye       = "bye"
)

// protocolVersion is what hello announces.
const protocolVersion = 1

// ackSymbolsMax is how many symbols an ack names before it only counts them.
const ackSymbolsMax = 1000

// Hello is the first event of a connection.
type Hello struct {
	Session, Node string
	Heartbeat     time.Duration // whole milliseconds on the wire
	MaxSymbols    int
	Auth          string // "ok", "required" or "none"
}

// AppendHello appends h's record to dst and returns the grown slice.
func AppendHello(dst []byte, h *Hello) []byte {
	dst = appendStr(appendArray(dst, 2), nameHello)
	dst = appendMap(dst, 6)
	dst = appendInt(appendStr(dst, "protocol"), protocolVersion)
	dst = appendText(appendStr(dst, "session"), h.Session)
	dst = appendText(appendStr(dst, "node"), h.Node)
	dst = appendInt(appendStr(dst, "heartbeat_ms"), h.Heartbeat.Milliseconds())
	dst = appendInt(appendStr(dst, "max_symbols"), int64(h.MaxSymbols))
	return appendText(appendStr(dst, "auth"), h.Auth)
}

// Ack answers a request. One for auth or stats has nil Channels and is an empty map on the
// wire; one for subscribe or unsubscribe has Channels, which may be empty.
type Ack struct {
	ID           *int64
	Channels     []market.Channel
	Symbols      []string        // nil where only their count was sent
	SymbolsTotal int             // as sent if over 1,000; otherwise len(Symbols), and need not be set
	Rejected     map[string]Code // by symbol
}

// AppendAck appends a's record to dst and returns the grown slice. Over 1,000 symbols it
// names none and gives their count. Rejected symbols are written in order.
func AppendAck(dst []byte, a *Ack) []byte {
	dst = appendStr(appendArray(dst, 3), nameAck)
	dst = appendID(dst, a.ID)
	if a.Channels == nil {
		return appendMap(dst, 0)
	}
	dst = appendStr(appendMap(dst, 3), "channels")
	dst = appendArray(dst, len(a.Channels))
	for _, c := range a.Channels {
		dst = appendStr(dst, c.String())
	}
	total := max(len(a.Symbols), a.SymbolsTotal)
	if total > ackSymbolsMax || total > 0 && a.Symbols == nil {
		dst = appendInt(appendStr(dst, "symbols_total"), int64(total))
	} else {
		dst = appendArray(appendStr(dst, "symbols"), len(a.Symbols))
		for _, s := range a.Symbols {
			dst = appendText(dst, s)
		}
	}
	dst = appendMap(appendStr(dst, "rejected"), len(a.Rejected))
	for _, s := range slices.Sorted(maps.Keys(a.Rejected)) {
		dst = appendInt(appendText(dst, s), int64(a.Rejected[s]))
	}
	return dst
}

// AppendError appends the record of an err event to dst and returns the grown slice.
func AppendError(dst []byte, id *int64, code Code, msg string) []byte {
	dst = appendStr(appendArray(dst, 4), nameError)
	dst = appendInt(appendID(dst, id), int64(code))
	return appendText(dst, msg)
}

// AppendPong appends the record of a pong event to dst and returns the grown slice.
func AppendPong(dst []byte, id *int64, now int64) []byte {
	dst = appendStr(appendArray(dst, 3), namePong)
	return appendTime(appendID(dst, id), now)
}

// Stat is how well a connection keeps up. The first two are as they are now, the counts
// are of events since the last Stat.
type Stat struct {
	PendingBytes, QueueAgeMS             int64
	Conflated, Dropped, Aggregated, Sent int64
	Slow                                 bool

	// Hops are those of the last minute, over all streams that the node follows.
	Hops Hops
}

// AppendStat appends s's record to dst and returns the grown slice.
func AppendStat(dst []byte, s *Stat) []byte {
	dst = appendStr(appendArray(dst, 2), nameStat)
	entries := 7
	if s.Hops != (Hops{}) {
		entries++
	}
	dst = appendMap(dst, entries)
	dst = appendInt(appendStr(dst, "pending_bytes"), s.PendingBytes)
	dst = appendInt(appendStr(dst, "queue_age_ms"), s.QueueAgeMS)
	dst = appendInt(appendStr(dst, "conflated"), s.Conflated)
	dst = appendInt(appendStr(dst, "dropped"), s.Dropped)
	dst = appendInt(appendStr(dst, "aggregated"), s.Aggregated)
	dst = appendInt(appendStr(dst, "sent"), s.Sent)
	dst = appendBool(appendStr(dst, "slow"), s.Slow)
	if s.Hops == (Hops{}) {
		return dst
	}
	return appendHops(dst, s.Hops)
}

// AppendHeartbeat appends the record of a heartbeat to dst and returns the grown slice.
func AppendHeartbeat(dst []byte, now int64) []byte {
	return appendTime(appendStr(appendArray(dst, 2), nameHeartbeat), now)
}

// AppendBye appends the record of a bye event to dst and returns the grown slice. code is
// the close code that follows, a [Code] or one of RFC 6455's. retryAfter goes as whole
// milliseconds.
func AppendBye(dst []byte, code int, reason string, retryAfter time.Duration) []byte {
	dst = appendStr(appendArray(dst, 4), nameBye)
	dst = appendText(appendInt(dst, int64(code)), reason)
	return appendInt(dst, retryAfter.Milliseconds())
}

func appendID(dst []byte, id *int64) []byte {
	if id == nil {
		return append(dst, mpNil)
	}
	return appendInt(dst, *id)
}

// appendText is appendStr for what may not be UTF-8, such as an error that quotes bytes.
func appendText(dst []byte, s string) []byte {
	return appendStr(dst, strings.ToValidUTF8(s, "\ufffd"))
}
