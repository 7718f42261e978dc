// Package books holds what a subscriber gets against what the protocol promises: of every
// trade stream, the events delivered and the ranges that gaps and aggregates name are each
// seq once, from the snapshot or else the first event on, over reconnections too; of any
// other stream the seqs only rise.
//
// A [Book] is one subscriber's, and is not for use from two goroutines.
package books

import (
	"fmt"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// Sums are what a book has seen, and what is wrong with it.
type Sums struct {
	Trades     int64 `json:"trades"`     // delivered by themselves
	Aggregated int64 `json:"aggregated"` // that aggregates stand for
	Missed     int64 `json:"missed"`     // that gaps name
	Others     int64 `json:"others"`     // quotes and bars

	Holes   int64 `json:"holes"`   // seqs that nothing accounts for
	Doubled int64 `json:"doubled"` // events, or gaps, over seqs that were accounted for
	Fallen  int64 `json:"fallen"`  // quotes or bars whose seq did not rise
	Wrong   int64 `json:"wrong"`   // events that contradict themselves or cannot be read
}

// Add adds o.
func (s *Sums) Add(o *Sums) {
	s.Trades += o.Trades
	s.Aggregated += o.Aggregated
	s.Missed += o.Missed
	s.Others += o.Others
	s.Holes += o.Holes
	s.Doubled += o.Doubled
	s.Fallen += o.Fallen
	s.Wrong += o.Wrong
}

// Faults says how many things are wrong.
func (s *Sums) Faults() int64 { return s.Holes + s.Doubled + s.Fallen + s.Wrong }

// A Book is one subscriber's. The zero value is one of a subscriber that has seen nothing.
type Book struct {
	Sums
	last  map[market.Stream]int64 // accounted for, or seen, up to here
	first string                  // the first fault
}

// Fault describes the first thing that was wrong; "" if nothing was.
func (b *Book) Fault() string { return b.first }

// Last is the seq up to which the stream is accounted for; 0 if nothing is known of it.
func (b *Book) Last(s market.Stream) int64 { return b.last[s] }

// After is what a subscriber that comes again names in its request; nil if it has seen
// nothing.
func (b *Book) After() map[market.Stream]int64 {
	if len(b.last) == 0 {
		return nil
	}
	after := make(map[market.Stream]int64, len(b.last))
	for s, seq := range b.last {
		after[s] = seq
	}
	return after
}

// Message books one batch.
func (b *Book) Message(e codec.Encoding, msg []byte) {
	if e == codec.MsgPack && b.ticks(msg) {
		return
	}
	events, err := codec.DecodeBatch(e, msg)
	if err != nil {
		b.Wrong++
		b.note("a batch cannot be read: %v", err)
		return
	}
	for _, ev := range events {
		b.event(ev)
	}
}

// ticks books a batch of nothing but ticks without decoding them. It reports false, with
// nothing booked, for others.
func (b *Book) ticks(msg []byte) bool {
	if len(msg) < 3 || msg[0] != 0xdc { // the form in which a node sends every batch
		return false
	}
	for pass := range 2 {
		for rest := msg[3:]; len(rest) > 0; {
			h, n, err := codec.NextTick(rest)
			if err != nil {
				return false
			}
			if pass == 1 {
				b.head(&h, rest[:n])
			}
			rest = rest[n:]
		}
	}
	return true
}

func (b *Book) head(h *codec.Head, rec []byte) {
	s := market.Stream{Channel: h.Channel, Symbol: string(h.Symbol)}
	switch h.Kind {
	case codec.KindTrade:
		b.Trades++
		b.account(s, h.Seq, h.To, "a trade")
	case codec.KindAggregate:
		evs, err := codec.DecodeBatch(codec.MsgPack, append([]byte{0x91}, rec...))
		if err != nil || len(evs) != 1 {
			b.Wrong++
			return
		}
		b.event(evs[0])
	case codec.KindGap:
		b.gap(s, h.Seq, h.To)
	default:
		b.other(s, h.Seq)
	}
}

func (b *Book) event(ev codec.Event) {
	trades := func(symbol string) market.Stream {
		return market.Stream{Channel: market.ChannelTrade, Symbol: symbol}
	}
	switch ev := ev.(type) {
	case market.Trade:
		b.Trades++
		b.account(trades(ev.Symbol), ev.Seq, ev.Seq, "a trade")
	case market.Aggregate:
		b.Aggregated += ev.ToSeq - ev.FromSeq + 1
		if ev.Count != ev.ToSeq-ev.FromSeq+1 {
			b.Wrong++
			b.note("an aggregate of %s from %d to %d counts %d", ev.Symbol, ev.FromSeq, ev.ToSeq, ev.Count)
		}
		b.account(trades(ev.Symbol), ev.FromSeq, ev.ToSeq, "an aggregate")
	case market.Quote:
		b.other(market.Stream{Channel: market.ChannelQuote, Symbol: ev.Symbol}, ev.Seq)
	case market.Bar:
		b.other(market.Stream{Channel: market.ChannelBar, Symbol: ev.Symbol}, ev.Seq)
	case codec.Gap:
		b.gap(ev.Stream, ev.From, ev.To)
	case codec.Snapshot:
		b.snapshot(&ev)
	}
}

// snapshot begins a stream's accounts, or goes on with them.
func (b *Book) snapshot(s *codec.Snapshot) {
	switch ev := s.Event.(type) {
	case market.Trade:
		b.Trades++
		b.account(s.Stream, ev.Seq, ev.Seq, "a snapshot")
	case market.Quote:
		b.other(s.Stream, ev.Seq)
	case market.Bar:
		b.other(s.Stream, ev.Seq)
	}
}

func (b *Book) gap(s market.Stream, from, to int64) {
	if s.Channel == market.ChannelTrade {
		b.Missed += to - from + 1
		b.account(s, from, to, "a gap")
	} else {
		b.set(s, max(to, b.last[s]))
	}
}

// account books the trades from one seq to another.
func (b *Book) account(s market.Stream, from, to int64, what string) {
	last, known := b.last[s]
	switch {
	case !known:
	case from > last+1:
		b.Holes += from - last - 1
		b.note("%v: %d to %d are missing before %s", s, last+1, from-1, what)
	case from <= last:
		b.Doubled++
		b.note("%v: %s from %d to %d after %d", s, what, from, to, last)
	}
	b.set(s, max(to, last))
}

func (b *Book) other(s market.Stream, seq int64) {
	b.Others++
	if seq <= b.last[s] {
		b.Fallen++
		b.note("%v: seq %d after %d", s, seq, b.last[s])
	}
	b.set(s, max(seq, b.last[s]))
}

func (b *Book) set(s market.Stream, seq int64) {
	if b.last == nil {
		b.last = make(map[market.Stream]int64)
	}
	b.last[s] = seq
}

func (b *Book) note(format string, args ...any) {
	if b.first == "" {
		b.first = fmt.Sprintf(format, args...)
	}
}
