package client

import (
	"maps"
	"slices"

	"github.com/tickcast/tickcast/pkg/market"
)

// A want is how a stream was subscribed. Wants of one kind share requests.
type want struct {
	intervalMS int64 // -1 leaves it to the node
	policy     Policy
}

// books remember what the client is subscribed to, and how far it has come in each stream,
// so that another connection can go on from there. The client's mutex guards them.
type books struct {
	named  map[Stream]want
	all    [market.Channels]*want
	except map[Stream]struct{} // ended by name under a wildcard

	last map[Stream]int64 // the newest seq accounted for; 0 of a stream that has no event yet
}

func newBooks() books {
	return books{named: make(map[Stream]want), except: make(map[Stream]struct{}), last: make(map[Stream]int64)}
}

// add notes a subscription that a node has granted. A wildcard takes the place of the names on its
// channel, as it does at the node.
func (b *books) add(s Stream, w want) {
	if s.Symbol != Wildcard {
		b.named[s] = w
		delete(b.except, s)
		return
	}
	b.all[s.Channel] = &w
	forgetAll(b.except, s.Channel)
	forgetAll(b.named, s.Channel)
}

func forgetAll[V any](of map[Stream]V, ch Channel) {
	maps.DeleteFunc(of, func(s Stream, _ V) bool { return s.Channel == ch })
}

// remove notes that a stream, or with the wildcard a whole channel, has ended.
func (b *books) remove(s Stream) {
	if s.Symbol != Wildcard {
		delete(b.named, s)
		delete(b.last, s)
		if b.all[s.Channel] != nil {
			b.except[s] = struct{}{}
		}
		return
	}
	b.all[s.Channel] = nil
	forgetAll(b.except, s.Channel)
	forgetAll(b.named, s.Channel)
	forgetAll(b.last, s.Channel)
}

// unname notes that a stream is not to be had by its name, and reports whether it has ended by
// that: a wildcard may cover it.
func (b *books) unname(s Stream) (ended bool) {
	delete(b.named, s)
	if b.has(s) {
		return false
	}
	delete(b.last, s)
	return true
}

// has reports whether events of a stream are wanted.
func (b *books) has(s Stream) bool {
	if _, ok := b.named[s]; ok {
		return true
	}
	if s.Channel >= market.Channels || b.all[s.Channel] == nil {
		return false
	}
	_, out := b.except[s]
	return !out
}

// wants reports whether a stream was asked for by this very name.
func (b *books) wants(s Stream) bool {
	_, named := b.named[s]
	return named || s.Symbol == Wildcard && b.all[s.Channel] != nil
}

// begin notes from where on a program wants a stream that it has had before.
func (b *books) begin(s Stream, after int64) {
	if _, ok := b.last[s]; !ok {
		b.last[s] = after
	}
}

// admit appends to dst what the program is to see of an event: nothing that it has had,
// and a gap for what the node passed over.
func (b *books) admit(dst []Event, ev Event) []Event {
	s, from, to := span(ev)
	if !b.has(s) {
		return dst // a stream that ended while the node was sending it
	}
	last, begun := b.last[s]
	snap, isSnap := ev.(Snapshot)
	switch {
	case begun && (to <= last || isSnap && snap.Event == nil):
		return dst
	case begun && isSnap: // of a stream that could not be resumed by its seq
		if s.Channel == ChannelTrade && from > last+1 {
			dst = append(dst, Gap{Stream: s, From: last + 1, To: from - 1, Reason: ReasonHistory})
		}
		ev = snap.Event
	case begun && last > 0 && s.Channel == ChannelTrade && from > last+1:
		dst = append(dst, Gap{Stream: s, From: last + 1, To: from - 1, Reason: ReasonUnexplained})
	case begun && from <= last:
		ev = rest(ev, last+1)
	}
	b.last[s] = to
	return append(dst, ev)
}

// span returns which seqs of which stream an event accounts for.
func span(ev Event) (s Stream, from, to int64) {
	switch ev := ev.(type) {
	case Trade:
		return Stream{Channel: ChannelTrade, Symbol: ev.Symbol}, ev.Seq, ev.Seq
	case Quote:
		return Stream{Channel: ChannelQuote, Symbol: ev.Symbol}, ev.Seq, ev.Seq
	case Bar:
		return Stream{Channel: ChannelBar, Symbol: ev.Symbol}, ev.Seq, ev.Seq
	case Aggregate:
		return Stream{Channel: ChannelTrade, Symbol: ev.Symbol}, ev.FromSeq, ev.ToSeq
	case Gap:
		return ev.Stream, ev.From, ev.To
	case Snapshot:
		if ev.Event != nil {
			_, from, to = span(ev.Event)
		}
		return ev.Stream, from, to
	}
	return Stream{Channel: market.Channels}, 0, 0 // no channel of ours: nobody wants it
}

// rest is what is left of a range of which the part before from is known. A summary cannot
// be divided: what it holds beyond is not known trade by trade, and counts as missing.
func rest(ev Event, from int64) Event {
	if gap, ok := ev.(Gap); ok {
		gap.From = from
		return gap
	}
	s, _, to := span(ev)
	return Gap{Stream: s, From: from, To: to, Reason: ReasonUnexplained}
}

// streams returns the named streams in order, so that equal books make equal requests.
func (b *books) streams() []Stream {
	all := make([]Stream, 0, len(b.named))
	for s := range b.named {
		all = append(all, s)
	}
	slices.SortFunc(all, compareStreams)
	return all
}
