package codec

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tickcast/tickcast/pkg/market"
)

// Event is one of [Hello], [Ack], [Error], [Pong], [market.Trade], [market.Quote],
// [market.Bar], [market.Aggregate], [Snapshot], [Gap], [Stat], [Heartbeat] and [Bye],
// always as a value.
type Event any

// Error refuses a request as a whole.
type Error struct {
	ID      *int64 // nil if the request had none or it could not be read
	Code    Code
	Message string
}

// Pong answers a ping.
type Pong struct {
	ID   *int64
	Time int64 // the server's clock, ns
}

// Snapshot is where a stream stood when it was subscribed.
type Snapshot struct {
	Stream market.Stream
	Event  Event // its last trade, quote or bar; nil if none yet
}

// Gap says that the seqs From to To of a stream, both included, do not come.
type Gap struct {
	Stream   market.Stream
	From, To int64
	Reason   Reason
}

// Heartbeat says that the connection lives and is quiet.
type Heartbeat struct {
	Time int64 // the server's clock, ns
}

// Bye is the last event before the server closes on purpose.
type Bye struct {
	Code       int // the close code that follows
	Reason     string
	RetryAfter time.Duration // whole milliseconds on the wire
}

// eventElements is how many elements of each event this version knows. More may come.
var eventElements = map[string]int{
	nameHello: 2, nameAck: 3, nameError: 4, namePong: 3,
	nameTrade: 8, nameQuote: 8, nameBar: 12, nameAggregate: 12,
	nameSnapshot: 4, nameGap: 6, nameStat: 2, nameHeartbeat: 2, nameBye: 4,
}

// DecodeBatch reads one message from a server. Events and channels that this version does
// not know are left out, elements and fields that it does not know are ignored. Anything
// malformed fails the whole batch: with [ErrMalformed], or the error that Append* would
// give for the event. The events alias nothing.
func DecodeBatch(e Encoding, data []byte) ([]Event, error) {
	message, err := canonical(e, data, hasTwin)
	if err != nil {
		return nil, err
	}
	r := newReader(message)
	var events []Event
	for n := r.array(); n > 0 && r.err == nil; n-- {
		if ev := r.event(); ev != nil {
			events = append(events, ev)
		}
	}
	if r.err != nil {
		return nil, fmt.Errorf("event %d: %w", len(events), r.err)
	}
	return events, nil
}

// event returns nil for what this version does not know.
func (r *reader) event() Event {
	n := r.array()
	name := r.str()
	known, ok := eventElements[name]
	if !ok {
		known = 1
	}
	if n < known {
		r.fail("%q of %d elements", name, n)
	}
	ev := r.eventNamed(name)
	for ; n > known && r.err == nil; n-- {
		r.skip()
	}
	return ev
}

func (r *reader) eventNamed(name string) Event {
	switch name {
	case nameHello:
		return r.hello()
	case nameAck:
		return r.ack()
	case nameError:
		return Error{ID: r.id(), Code: Code(r.int()), Message: r.str()}
	case namePong:
		return Pong{ID: r.id(), Time: r.int()}
	case nameTrade:
		return r.trade()
	case nameQuote:
		q := market.Quote{Symbol: r.str(), Seq: r.int(), Time: r.int(),
			BidPrice: r.float(), BidSize: r.float(), AskPrice: r.float(), AskSize: r.float()}
		r.note(checkTick(q.Symbol, q.Seq, 0, 0, 0, 0, 0))
		return q
	case nameBar:
		b := market.Bar{Symbol: r.str(), Seq: r.int(), Start: r.int(), Interval: r.int(),
			Open: r.float(), High: r.float(), Low: r.float(), Close: r.float(), Volume: r.float(),
			Trades: r.int(), Closed: r.bool()}
		r.note(checkTick(b.Symbol, b.Seq, 0, 0, 0, 0, 0))
		return b
	case nameAggregate:
		a := market.Aggregate{Symbol: r.str(), FromSeq: r.int(), ToSeq: r.int(), FirstTime: r.int(), LastTime: r.int(),
			Open: r.float(), High: r.float(), Low: r.float(), Close: r.float(), Volume: r.float(), Count: r.int()}
		r.note(checkRange(a.Symbol, a.FromSeq, a.ToSeq))
		return a
	case nameSnapshot:
		return r.snapshot()
	case nameGap:
		return r.gap()
	case nameStat:
		return r.stat()
	case nameHeartbeat:
		return Heartbeat{Time: r.int()}
	case nameBye:
		return Bye{Code: int(r.int()), Reason: r.str(), RetryAfter: r.millis()}
	}
	return nil
}

func (r *reader) trade() Event {
	t := market.Trade{Symbol: r.str(), Seq: r.int(), Time: r.int(), Price: r.float(), Size: r.float()}
	side := r.str()
	i := slices.Index(sideNames[:], side)
	if i < 0 {
		r.fail("trade side %.10q", side)
		return nil
	}
	t.Side, t.ID = market.Side(i), r.str()
	r.note(checkTick(t.Symbol, t.Seq, 0, 0, 0, 0, 0))
	r.note(checkTradeID(&t))
	return t
}

func (r *reader) snapshot() Event {
	channel, known := r.channel()
	s := Snapshot{Stream: market.Stream{Channel: channel, Symbol: r.str()}}
	if !known {
		r.skip()
		return nil
	}
	r.note(checkRange(s.Stream.Symbol, 1, 1))
	if r.null() || r.err != nil {
		return s
	}
	s.Event = r.event()
	r.note(s.check())
	return s
}

// check says whether the event is of the snapshot's stream.
func (s Snapshot) check() error {
	var of market.Stream
	switch ev := s.Event.(type) {
	case market.Trade:
		of = market.Stream{Channel: market.ChannelTrade, Symbol: ev.Symbol}
	case market.Quote:
		of = market.Stream{Channel: market.ChannelQuote, Symbol: ev.Symbol}
	case market.Bar:
		of = market.Stream{Channel: market.ChannelBar, Symbol: ev.Symbol}
	default:
		return fmt.Errorf("%w: snapshot of %v holds a %T", ErrMalformed, s.Stream, s.Event)
	}
	if of != s.Stream {
		return fmt.Errorf("%w: snapshot of %v holds a tick of %v", ErrMalformed, s.Stream, of)
	}
	return nil
}

func (r *reader) gap() Event {
	channel, known := r.channel()
	g := Gap{Stream: market.Stream{Channel: channel, Symbol: r.str()}, From: r.int(), To: r.int(), Reason: Reason(r.str())}
	if !known {
		return nil
	}
	r.note(checkRange(g.Stream.Symbol, g.From, g.To))
	return g
}

func (r *reader) hello() Event {
	var h Hello
	r.entries(func(key string) {
		switch key {
		case "session":
			h.Session = r.str()
		case "node":
			h.Node = r.str()
		case "heartbeat_ms":
			h.Heartbeat = r.millis()
		case "max_symbols":
			h.MaxSymbols = int(r.int())
		case "auth":
			h.Auth = r.str()
		default:
			r.skip()
		}
	})
	return h
}

func (r *reader) ack() Event {
	a := Ack{ID: r.id()}
	r.entries(func(key string) {
		switch key {
		case "channels":
			a.Channels = []market.Channel{}
			for _, name := range r.strings() {
				if c, known := market.ParseChannel(name); known {
					a.Channels = append(a.Channels, c)
				}
			}
		case "symbols":
			a.Symbols = r.strings()
		case "symbols_total":
			total := r.int()
			if total < 0 || total > math.MaxInt32 {
				r.fail("symbols_total is %d", total)
			}
			a.SymbolsTotal = int(total)
		case "rejected":
			a.Rejected = map[string]Code{}
			r.entries(func(symbol string) { a.Rejected[symbol] = Code(r.int()) })
		default:
			r.skip()
		}
	})
	if a.Symbols != nil {
		a.SymbolsTotal = len(a.Symbols)
	}
	return a
}

func (r *reader) stat() Event {
	var s Stat
	counts := map[string]*int64{
		"pending_bytes": &s.PendingBytes, "queue_age_ms": &s.QueueAgeMS, "conflated": &s.Conflated,
		"dropped": &s.Dropped, "aggregated": &s.Aggregated, "sent": &s.Sent,
	}
	r.entries(func(key string) {
		if count, ok := counts[key]; ok {
			*count = r.int()
		} else if key == "slow" {
			s.Slow = r.bool()
		} else if key == "hops" {
			s.Hops = r.hops()
		} else {
			r.skip()
		}
	})
	return s
}

// AppendEvent appends the msgpack record of ev to dst and returns the grown slice. On
// error, which is that of the Append* for its type or [ErrMalformed], dst is as it was.
func AppendEvent(dst []byte, ev Event) ([]byte, error) {
	switch ev := ev.(type) {
	case market.Trade:
		return AppendTrade(dst, &ev)
	case market.Quote:
		return AppendQuote(dst, &ev)
	case market.Bar:
		return AppendBar(dst, &ev)
	case market.Aggregate:
		return AppendAggregate(dst, &ev)
	case Hello:
		return AppendHello(dst, &ev), nil
	case Ack:
		return AppendAck(dst, &ev), nil
	case Error:
		return AppendError(dst, ev.ID, ev.Code, ev.Message), nil
	case Pong:
		return AppendPong(dst, ev.ID, ev.Time), nil
	case Gap:
		if err := checkRange(ev.Stream.Symbol, ev.From, ev.To); err != nil {
			return dst, err
		}
		return AppendGap(dst, ev.Stream, ev.From, ev.To, ev.Reason), nil
	case Snapshot:
		if ev.Event == nil {
			return AppendSnapshot(dst, ev.Stream, nil), nil
		}
		rec, err := AppendEvent(nil, ev.Event)
		if err = errors.Join(err, ev.check()); err != nil {
			return dst, err
		}
		return AppendSnapshot(dst, ev.Stream, rec), nil
	case Stat:
		return AppendStat(dst, &ev), nil
	case Heartbeat:
		return AppendHeartbeat(dst, ev.Time), nil
	case Bye:
		return AppendBye(dst, ev.Code, ev.Reason, ev.RetryAfter), nil
	}
	return dst, fmt.Errorf("%w: no event is a %T", ErrMalformed, ev)
}
