package client

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

func compareStreams(a, b Stream) int {
	return cmp.Or(cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Symbol, b.Symbol))
}

// channelSet has the bit 1<<c for each channel c.
type channelSet uint8

func (cs channelSet) list() (all []Channel) {
	for _, ch := range market.AllChannels() {
		if cs&(1<<ch) != 0 {
			all = append(all, ch)
		}
	}
	return all
}

// requestBytes bounds the names in a request, and leaves room in codec.MaxRequestBytes for
// the rest. A name takes up to 2 bytes more than its length, a seq behind one 9.
const requestBytes = codec.MaxRequestBytes - 1024

// split makes requests of one op for channels x symbols, as many as their names need, each
// with what after holds for it.
func split(op codec.Op, w want, channels channelSet, symbols []string, after map[Stream]int64) []codec.Request {
	var all []codec.Request
	list := channels.list()
	size := requestBytes // as if full: the first symbol opens a request
	for _, symbol := range symbols {
		n := 2 + len(symbol)
		for _, ch := range list {
			if _, ok := after[Stream{Channel: ch, Symbol: symbol}]; ok {
				n += 11 + len(symbol)
			}
		}
		if size += n; size > requestBytes {
			all = append(all, w.request(op, list))
			size = n
		}
		q := &all[len(all)-1]
		q.Symbols = append(q.Symbols, symbol)
		for _, ch := range list {
			s := Stream{Channel: ch, Symbol: symbol}
			if seq, ok := after[s]; ok {
				q.After[s] = seq
			}
		}
	}
	return all
}

func (w want) request(op codec.Op, channels []Channel) codec.Request {
	q := codec.Request{Op: op, Channels: channels}
	if op == codec.OpSubscribe {
		q.Policy, q.After = string(w.policy), make(map[Stream]int64)
		if w.intervalMS >= 0 {
			q.IntervalMS = &w.intervalMS
		}
	}
	return q
}

// plan makes the requests that bring a new connection, on which symbolsMax may be named, to
// where the books are. Only streams for which only is true are asked for.
func (b *books) plan(symbolsMax int, only func(Stream) bool) []codec.Request {
	named := make(map[Stream]want)
	for _, s := range b.streams() {
		if only(s) {
			named[s] = b.named[s]
		}
	}
	wilds := make(map[want]channelSet)
	for ch, w := range b.all {
		if w != nil && only(Stream{Channel: Channel(ch), Symbol: Wildcard}) {
			wilds[*w] |= 1 << ch
		}
	}
	names := make(map[string]struct{})
	for s := range named {
		names[s.Symbol] = struct{}{}
	}
	var last []codec.Request // wildcards: behind what is resumed by name, since they resume only so much
	for w, channels := range wilds {
		q := w.request(codec.OpSubscribe, channels.list())
		q.Symbols = []string{Wildcard}
		for _, s := range b.resumable(channels, &q) {
			if s.Channel == ChannelTrade && len(names) < symbolsMax { // others lose nothing by a snapshot
				named[s] = w
				names[s.Symbol] = struct{}{}
			}
		}
		last = append(last, q)
	}
	slices.SortFunc(last, func(a, b codec.Request) int { return cmp.Compare(a.Channels[0], b.Channels[0]) })

	var all []codec.Request
	for _, g := range group(named) {
		all = append(all, split(codec.OpSubscribe, g.want, g.channels, g.symbols, b.last)...)
	}
	all = append(all, last...)
	again := make(map[Stream]want) // a wildcard has taken their place, and their options
	for s, w := range b.named {
		if b.all[s.Channel] != nil && only(Stream{Channel: s.Channel, Symbol: Wildcard}) {
			again[s] = w
		}
	}
	for _, g := range group(again) {
		all = append(all, split(codec.OpSubscribe, g.want, g.channels, g.symbols, nil)...)
	}
	ended := make(map[Stream]want)
	for s := range b.except {
		if only(Stream{Channel: s.Channel, Symbol: Wildcard}) {
			ended[s] = want{}
		}
	}
	for _, g := range group(ended) {
		all = append(all, split(codec.OpUnsubscribe, g.want, g.channels, g.symbols, nil)...)
	}
	return all
}

// resumable fills the request for a wildcard with the seqs of the streams under it, trades
// first, and returns those that do not fit.
func (b *books) resumable(channels channelSet, q *codec.Request) (over []Stream) {
	var all []Stream
	for s := range b.last {
		if _, named := b.named[s]; !named && channels&(1<<s.Channel) != 0 && b.has(s) {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, compareStreams)
	size := 0
	for i, s := range all {
		if size += 11 + len(s.Symbol); size > requestBytes {
			return all[i:]
		}
		q.After[s] = b.last[s]
	}
	return nil
}

// A named group is asked for by the same requests.
type namedGroup struct {
	want     want
	channels channelSet
	symbols  []string
}

// group gathers streams by their wants and by the channels that a symbol has with one.
func group(streams map[Stream]want) []namedGroup {
	type wanted struct {
		symbol string
		want   want
	}
	channels := make(map[wanted]channelSet)
	for s, w := range streams {
		channels[wanted{s.Symbol, w}] |= 1 << s.Channel
	}
	type key struct {
		want     want
		channels channelSet
	}
	groups := make(map[key][]string)
	for at, cs := range channels {
		k := key{at.want, cs}
		groups[k] = append(groups[k], at.symbol)
	}
	all := make([]namedGroup, 0, len(groups))
	for k, symbols := range groups {
		slices.Sort(symbols)
		all = append(all, namedGroup{k.want, k.channels, symbols})
	}
	slices.SortFunc(all, func(a, b namedGroup) int {
		return cmp.Or(-cmp.Compare(bits.OnesCount8(uint8(a.channels)), bits.OnesCount8(uint8(b.channels))),
			cmp.Compare(a.channels, b.channels), cmp.Compare(a.symbols[0], b.symbols[0]))
	})
	return all
}
