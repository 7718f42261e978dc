// Package subscribe knows who wants what: for each stream, the sessions of one shard that
// subscribe to it, and for each session, its streams.
//
// An [Index] and the [Set]s filed in it belong to one shard and are touched by its
// goroutine alone, so they take no locks. Streams are dense ids whose lowest two bits are
// the channel ([ID]); the package knows no symbols, no sockets and no clock.
package subscribe

import "github.com/tickcast/tickcast/pkg/market"

// ID is the dense number that a node gives to a stream for as long as it runs.
type ID uint32

const channelBits = 2

// MakeID packs the n-th symbol's stream of channel ch.
func MakeID(n int, ch market.Channel) ID { return ID(n)<<channelBits | ID(ch) }

// Channel is the channel that the id was made for.
func (id ID) Channel() market.Channel { return market.Channel(id & (1<<channelBits - 1)) }

// A Session subscribes. T is the session itself, O its options for a stream.
type Session[T, O any] interface {
	// Subscriptions returns the session's set, always the same.
	Subscriptions() *Set[T, O]
}

// A Slot is one subscription as a stream sees it: whose it is, and with which options.
type Slot[T, O any] struct {
	Owner T
	Opt   O
	nth   uint32 // position in the set's named; unused in a wildcard slot
}

// An Index holds all subscriptions of one shard. The zero value is ready.
type Index[T Session[T, O], O any] struct {
	named [][]Slot[T, O] // by ID
	wild  [market.Channels][]Slot[T, O]
}

// Named returns the sessions that named the stream. The slice is the index's own and is
// valid until the next change.
func (x *Index[T, O]) Named(id ID) []Slot[T, O] {
	if int(id) < len(x.named) {
		return x.named[id]
	}
	return nil
}

// Wild returns the sessions with a wildcard on the channel. Skip those that Excepts names: they
// named the stream as well (and are found there), ended it, or may not see it. The slice is the
// index's own.
func (x *Index[T, O]) Wild(ch market.Channel) []Slot[T, O] { return x.wild[ch] }

// Option returns the options of the i-th stream that the session named.
func (x *Index[T, O]) Option(s *Set[T, O], i int) O {
	n := s.named[i]
	return x.named[n.id][n.at].Opt
}

// OptionOf returns the options of a stream if the session named it.
func (x *Index[T, O]) OptionOf(session T, id ID) (opt O, ok bool) {
	s := session.Subscriptions()
	i, ok := s.find(id)
	if ok {
		opt = x.Option(s, int(i))
	}
	return opt, ok
}

// Excepts says whether the session's wildcard does not cover the stream.
func (x *Index[T, O]) Excepts(session T, id ID) bool {
	set := session.Subscriptions()
	_, out := set.wild(id.Channel()).except[id]
	return out || !set.passes(id)
}

// A named entry is one subscription as its session sees it.
type named struct {
	id ID
	at uint32 // position in Index.named[id]
}

type wildcard struct {
	on     bool
	at     uint32 // position in Index.wild[channel]
	except map[ID]struct{}
}

// noWildcards stands for those of a Set that has none, as most have: it is never written.
var noWildcards [market.Channels]wildcard

// SmallSet is how many named streams a Set searches one by one before it keeps a map: few
// sessions name more, and a map costs more than their whole set. Searching so many takes as
// long as a few cache misses.
const SmallSet = 128

// A Set holds what one session subscribes to. The zero value is ready.
type Set[T, O any] struct {
	named []named
	sum   uint64
	pos   map[ID]uint32              // id -> position in named, kept above SmallSet
	some  *[market.Channels]wildcard // nil before the first; read by wild

	sees func(ID) bool
}

// Narrow lets the set's wildcards cover only the streams that sees is true for, those that
// appear later too; nil is all. It is asked for every tick. Names are not its business, and the
// fingerprint knows nothing of it.
func (s *Set[T, O]) Narrow(sees func(ID) bool) { s.sees = sees }

// passes says whether a wildcard of the set may cover the stream.
func (s *Set[T, O]) passes(id ID) bool { return s.sees == nil || s.sees(id) }

func (s *Set[T, O]) wild(ch market.Channel) *wildcard {
	if s.some == nil {
		return &noWildcards[ch]
	}
	return &s.some[ch]
}

// Fingerprint is the same for two sets that cover the same streams by the same names and
// wildcards, and, but for one chance in 2^64, for no others. Options do not count.
func (s *Set[T, O]) Fingerprint() uint64 { return s.sum }

// What a fingerprint is the sum of.
const (
	markName uint64 = iota + 1
	markWild
	markExcept
)

// mark spreads what a set covers over 64 bits (the finalizer of splitmix64, by Sebastiano
// Vigna), so that sums of different marks differ.
func mark(kind uint64, v uint32) uint64 {
	x := kind<<32 | uint64(v)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Grow makes room for n more names, and no more than that.
func (s *Set[T, O]) Grow(n int) {
	if cap(s.named)-len(s.named) < n {
		s.named = append(make([]named, 0, len(s.named)+n), s.named...)
	}
}

// Len counts the streams that the session named.
func (s *Set[T, O]) Len() int { return len(s.named) }

// All says whether the session has a wildcard on the channel.
func (s *Set[T, O]) All(ch market.Channel) bool { return s.wild(ch).on }

// Has says whether events of the stream reach the session, by name or by wildcard.
func (s *Set[T, O]) Has(id ID) bool {
	if _, ok := s.find(id); ok {
		return true
	}
	w := s.wild(id.Channel())
	if !w.on {
		return false
	}
	_, out := w.except[id]
	return !out && s.passes(id)
}

// At returns the i-th of the streams that the session named, in no order.
func (s *Set[T, O]) At(i int) ID { return s.named[i].id }

// Each calls f for every stream that the session named, in no order.
func (s *Set[T, O]) Each(f func(ID)) {
	for _, n := range s.named {
		f(n.id)
	}
}

func (s *Set[T, O]) find(id ID) (uint32, bool) {
	if s.pos != nil {
		i, ok := s.pos[id]
		return i, ok
	}
	for i := range s.named {
		if s.named[i].id == id {
			return uint32(i), true
		}
	}
	return 0, false
}

// Add subscribes the session to the stream by name, or changes its options there. It
// reports whether the session did not have the stream by name before.
func (x *Index[T, O]) Add(session T, id ID, opt O) bool {
	s := session.Subscriptions()
	if i, ok := s.find(id); ok {
		x.named[id][s.named[i].at].Opt = opt
		return false
	}
	for int(id) >= len(x.named) {
		x.named = append(x.named, nil)
	}
	i, at := uint32(len(s.named)), uint32(len(x.named[id]))
	x.named[id] = append(x.named[id], Slot[T, O]{Owner: session, Opt: opt, nth: i})
	s.named = append(s.named, named{id: id, at: at})
	s.filed(id, i)
	if w := s.wild(id.Channel()); w.on {
		s.exclude(w, id)
	}
	return true
}

// filed keeps pos in step with a new entry of named.
func (s *Set[T, O]) filed(id ID, i uint32) {
	s.sum += mark(markName, uint32(id))
	switch {
	case s.pos != nil:
		s.pos[id] = i
	case len(s.named) > SmallSet:
		s.pos = make(map[ID]uint32, 2*len(s.named))
		for j, n := range s.named {
			s.pos[n.id] = uint32(j)
		}
	}
}

func (s *Set[T, O]) exclude(w *wildcard, id ID) {
	if w.except == nil {
		w.except = make(map[ID]struct{})
	}
	if _, out := w.except[id]; !out {
		w.except[id] = struct{}{}
		s.sum += mark(markExcept, uint32(id))
	}
}

func (s *Set[T, O]) includeAll(w *wildcard) {
	for id := range w.except {
		s.sum -= mark(markExcept, uint32(id))
	}
	w.except = nil
}

// Remove ends the stream for the session, whether it had it by name or by wildcard, and
// reports each: a name that it held is gone, a wildcard now leaves the stream out.
func (x *Index[T, O]) Remove(session T, id ID) (byName, byWildcard bool) {
	s := session.Subscriptions()
	covered := false
	if w := s.wild(id.Channel()); w.on {
		_, out := w.except[id]
		covered = !out && s.passes(id)
		s.exclude(w, id)
	}
	i, ok := s.find(id)
	if ok {
		x.drop(s, i)
	}
	return ok, covered
}

// Unname ends the stream's name and reports whether the session had it. A wildcard covers the
// stream again, if it may.
func (x *Index[T, O]) Unname(session T, id ID) bool {
	s := session.Subscriptions()
	i, ok := s.find(id)
	if !ok {
		return false
	}
	x.drop(s, i)
	w := s.wild(id.Channel())
	if _, out := w.except[id]; out {
		delete(w.except, id)
		s.sum -= mark(markExcept, uint32(id))
	}
	return true
}

// drop takes the i-th named entry out of both sides by moving the last one into its place.
func (x *Index[T, O]) drop(s *Set[T, O], i uint32) {
	gone := s.named[i]

	slots := x.named[gone.id]
	last := uint32(len(slots) - 1)
	if gone.at != last {
		moved := slots[last]
		slots[gone.at] = moved
		moved.Owner.Subscriptions().named[moved.nth].at = gone.at
	}
	slots[last] = Slot[T, O]{}
	x.named[gone.id] = slots[:last]
	if last == 0 {
		x.named[gone.id] = nil
	}

	end := uint32(len(s.named) - 1)
	if i != end {
		m := s.named[end]
		s.named[i] = m
		x.named[m.id][m.at].nth = i
		if s.pos != nil {
			s.pos[m.id] = i
		}
	}
	s.named = s.named[:end]
	s.sum -= mark(markName, uint32(gone.id))
	delete(s.pos, gone.id)
}

// AddAll gives the session a wildcard on the channel, or changes its options. It takes the
// place of every name on the channel, which ended is called with, and of earlier exceptions.
func (x *Index[T, O]) AddAll(session T, ch market.Channel, opt O, ended func(ID)) {
	s := session.Subscriptions()
	x.dropChannel(s, ch, ended)
	if s.some == nil {
		s.some = new([market.Channels]wildcard)
	}
	w := s.wild(ch)
	s.includeAll(w)
	if w.on {
		x.wild[ch][w.at].Opt = opt
		return
	}
	s.sum += mark(markWild, uint32(ch))
	w.on, w.at = true, uint32(len(x.wild[ch]))
	x.wild[ch] = append(x.wild[ch], Slot[T, O]{Owner: session, Opt: opt})
}

// RemoveAll ends every stream of the channel, named or by wildcard. It reports whether the
// session had the wildcard, and calls ended with each name.
func (x *Index[T, O]) RemoveAll(session T, ch market.Channel, ended func(ID)) bool {
	s := session.Subscriptions()
	x.dropChannel(s, ch, ended)
	w := s.wild(ch)
	if !w.on {
		return false
	}
	s.includeAll(w)
	s.sum -= mark(markWild, uint32(ch))
	slots := x.wild[ch]
	last := uint32(len(slots) - 1)
	if w.at != last {
		moved := slots[last]
		slots[w.at] = moved
		moved.Owner.Subscriptions().wild(ch).at = w.at
	}
	slots[last] = Slot[T, O]{}
	x.wild[ch] = slots[:last]
	*w = wildcard{}
	return true
}

func (x *Index[T, O]) dropChannel(s *Set[T, O], ch market.Channel, ended func(ID)) {
	for i := len(s.named) - 1; i >= 0; i-- {
		if id := s.named[i].id; id.Channel() == ch {
			x.drop(s, uint32(i))
			ended(id)
		}
	}
}

// Alter passes the options of all that the session subscribes to through f.
func (x *Index[T, O]) Alter(session T, f func(ch market.Channel, opt O) O) {
	s := session.Subscriptions()
	for _, n := range s.named {
		slot := &x.named[n.id][n.at]
		slot.Opt = f(n.id.Channel(), slot.Opt)
	}
	for _, ch := range market.AllChannels() {
		if w := s.wild(ch); w.on {
			slot := &x.wild[ch][w.at]
			slot.Opt = f(ch, slot.Opt)
		}
	}
}

// Clear ends everything that the session subscribes to, as when it closes.
func (x *Index[T, O]) Clear(session T, ended func(ID), endedAll func(market.Channel)) {
	for _, ch := range market.AllChannels() {
		if x.RemoveAll(session, ch, ended) {
			endedAll(ch)
		}
	}
}
