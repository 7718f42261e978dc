package client

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tickcast/tickcast/pkg/codec"
)

var tradesA = Stream{Channel: ChannelTrade, Symbol: "A"}

// parse makes events of stream A: "5" a tick, "s5" a snapshot, "s" one of a stream without
// an event, "g3-5" a gap, "a3-5" an aggregate.
func parse(ch Channel, text string) (all []Event) {
	tick := func(seq int64) Event {
		if ch == ChannelQuote {
			return Quote{Symbol: "A", Seq: seq}
		}
		return Trade{Symbol: "A", Seq: seq}
	}
	s := Stream{Channel: ch, Symbol: "A"}
	for word := range strings.FieldsSeq(text) {
		var from, to int64
		switch {
		case word == "s":
			all = append(all, Snapshot{Stream: s})
		case word[0] == 's':
			_, _ = fmt.Sscanf(word, "s%d", &from)
			all = append(all, Snapshot{Stream: s, Event: tick(from)})
		case word[0] == 'g':
			_, _ = fmt.Sscanf(word, "g%d-%d", &from, &to)
			all = append(all, Gap{Stream: s, From: from, To: to, Reason: ReasonSlow})
		case word[0] == 'a':
			_, _ = fmt.Sscanf(word, "a%d-%d", &from, &to)
			all = append(all, Aggregate{Symbol: "A", FromSeq: from, ToSeq: to})
		default:
			_, _ = fmt.Sscan(word, &from)
			all = append(all, tick(from))
		}
	}
	return all
}

// show is the inverse; a gap of the client's own begins with h (history) or u (unexplained).
func show(all []Event) string {
	var words []string
	for _, ev := range all {
		s, from, to := span(ev)
		switch ev := ev.(type) {
		case Snapshot:
			words = append(words, strings.TrimSuffix(fmt.Sprint("s", from), "s0"))
			if ev.Event == nil {
				words[len(words)-1] = "s"
			}
		case Gap:
			letter := map[Reason]string{ReasonSlow: "g", ReasonHistory: "h", ReasonUnexplained: "u"}[ev.Reason]
			words = append(words, fmt.Sprintf("%s%d-%d", letter, from, to))
		case Aggregate:
			words = append(words, fmt.Sprintf("a%d-%d", from, to))
		default:
			words = append(words, fmt.Sprint(from))
		}
		if s.Symbol != "A" {
			words = append(words, s.Symbol)
		}
	}
	return strings.Join(words, " ")
}

func TestWhatAProgramSeesOfAStream(t *testing.T) {
	for _, tt := range []struct {
		name      string
		ch        Channel
		came, see string
	}{
		{"what is in order passes", ChannelTrade, "s4 5 6 g7-9 a10-12 13", "s4 5 6 g7-9 a10-12 13"},
		{"what came before is dropped", ChannelTrade, "s4 5 6 4 5 6 7", "s4 5 6 7"},
		{"a range that is known is dropped", ChannelTrade, "s9 g3-9 a2-4 10", "s9 10"},
		{"of a gap that is known in part the rest passes", ChannelTrade, "s5 g3-8 9", "s5 g6-8 9"},
		{"of a summary the rest is missing", ChannelTrade, "s5 a3-8 9", "s5 u6-8 9"},
		{"trades passed over make a gap", ChannelTrade, "s5 8", "s5 u6-7 8"},
		{"before a gap and a summary too", ChannelTrade, "s5 g8-9 a12-13", "s5 u6-7 g8-9 u10-11 a12-13"},
		{"a second snapshot is where the stream goes on", ChannelTrade, "s5 s9 10", "s5 h6-8 9 10"},
		{"or nothing new", ChannelTrade, "s5 s5 s4 s 6", "s5 6"},
		{"or the very next", ChannelTrade, "s5 s6", "s5 6"},
		{"a stream without an event begins anywhere", ChannelTrade, "s 7 8", "s 7 8"},
		{"but not after a reconnect", ChannelTrade, "s s3 4", "s h1-2 3 4"},
		{"without a snapshot too", ChannelTrade, "7 8", "7 8"},
		{"quotes may jump", ChannelQuote, "s5 8 12 11 s15 s14", "s5 8 12 15"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBooks()
			b.add(Stream{Channel: tt.ch, Symbol: "A"}, want{})
			var see []Event
			for _, ev := range parse(tt.ch, tt.came) {
				see = b.admit(see, ev)
			}
			if got := show(see); got != tt.see {
				t.Errorf("of %q the program sees %q, want %q", tt.came, got, tt.see)
			}
		})
	}
}

// Whatever a node sends, and in whichever order, the seqs that a program sees of a trade
// stream follow one another, and none that came is left out.
func TestWhateverANodeSendsTheOrderHolds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBooks()
		b.add(tradesA, want{})
		came := parse(ChannelTrade, fmt.Sprint("s", rapid.IntRange(1, 5).Draw(rt, "first")))
		for range rapid.IntRange(1, 20).Draw(rt, "events") {
			from := rapid.IntRange(1, 40).Draw(rt, "from")
			to := from + rapid.IntRange(0, 5).Draw(rt, "more")
			form := rapid.SampledFrom([]string{"%[1]d", "s%[1]d", "s", "g%d-%d", "a%d-%d"}).Draw(rt, "kind")
			came = append(came, parse(ChannelTrade, strings.Split(fmt.Sprintf(form, from, to), "%!")[0])...)
		}
		var newest, last int64
		for _, ev := range came {
			_, _, to := span(ev)
			newest = max(newest, to)
			for i, seen := range b.admit(nil, ev) {
				_, from, to := span(seen)
				if last > 0 && from != last+1 || to < from {
					rt.Fatalf("of %q event %d goes from %d to %d after %d", show(came), i, from, to, last)
				}
				last = to
			}
			if last != newest {
				rt.Fatalf("of %q the program has seen %d of %d", show(came), last, newest)
			}
		}
	})
}

func TestWhatTheBooksWant(t *testing.T) {
	all, b := Stream{Channel: ChannelTrade, Symbol: Wildcard}, Stream{Channel: ChannelTrade, Symbol: "B"}
	for _, tt := range []struct {
		name      string
		do        func(*books)
		aIs, bIs  bool
		rememberA bool
	}{
		{"nothing", func(*books) {}, false, false, false},
		{"what was named", func(k *books) { k.add(tradesA, want{}) }, true, false, true},
		{"all", func(k *books) { k.add(all, want{}) }, true, true, true},
		{"all but one", func(k *books) { k.add(all, want{}); k.remove(tradesA) }, false, true, false},
		{"the one again", func(k *books) { k.add(all, want{}); k.remove(tradesA); k.add(tradesA, want{}) }, true, true, false},
		{"all again", func(k *books) { k.add(all, want{}); k.remove(b); k.add(all, want{}) }, true, true, true},
		{"all after one", func(k *books) { k.add(tradesA, want{}); k.add(all, want{}) }, true, true, true},
		{"none after all", func(k *books) { k.add(all, want{}); k.add(b, want{}); k.remove(all) }, false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newBooks()
			k.last[tradesA] = 7
			tt.do(&k)
			if k.has(tradesA) != tt.aIs || k.has(b) != tt.bIs || k.has(Stream{Channel: ChannelQuote, Symbol: "A"}) {
				t.Errorf("A %v, B %v", k.has(tradesA), k.has(b))
			}
			if _, ok := k.last[tradesA]; tt.aIs && ok != tt.rememberA {
				t.Errorf("remembers A: %v", ok)
			}
		})
	}
}

// Whatever the books hold, the requests made of them fit, and bring a node, at which a wildcard takes
// the place of names, to the same: each stream resumed once by its seq, each named one with its options.
func TestAPlanAsksForAllOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBooks()
		length := rapid.SampledFrom([]int{1, 20, 64}).Draw(rt, "length of names")
		options := rapid.SampledFrom([]want{{intervalMS: -1}, {intervalMS: 0}, {intervalMS: 500, policy: PolicyDropOldest}})
		channel := rapid.SampledFrom([]Channel{ChannelTrade, ChannelQuote, ChannelBar})
		for range rapid.IntRange(0, 2).Draw(rt, "wildcards") {
			b.add(Stream{Channel: channel.Draw(rt, "all of"), Symbol: Wildcard}, options.Draw(rt, "options"))
		}
		for i := range rapid.SampledFrom([]int{0, 7, 300, 3000}).Draw(rt, "streams") {
			s := Stream{Channel: Channel(i % 3), Symbol: fmt.Sprintf("%0*d", length, i/3)}
			if i%4 > 0 {
				b.add(s, want{intervalMS: int64(i % 2), policy: PolicyDropNewest})
			}
			if i%5 > 0 && b.has(s) {
				b.last[s] = 1 << 50
			}
			if i%7 == 0 {
				b.remove(s)
			}
		}
		named, wild, resumed := map[Stream]want{}, [3]*want{}, map[Stream]bool{}
		for _, q := range b.plan(1000, func(Stream) bool { return true }) {
			if m, err := codec.AppendRequest(nil, codec.MsgPack, &q); err != nil || len(m) > codec.MaxRequestBytes {
				rt.Fatalf("a request of %d bytes: %v", len(m), err)
			}
			if q.Op == codec.OpUnsubscribe {
				for _, symbol := range q.Symbols {
					for _, ch := range q.Channels {
						delete(b.except, Stream{Channel: ch, Symbol: symbol})
					}
				}
				continue
			}
			w := want{intervalMS: -1, policy: Policy(q.Policy)}
			if q.IntervalMS != nil {
				w.intervalMS = *q.IntervalMS
			}
			for s, seq := range q.After {
				if b.last[s] != seq || !slices.Contains(q.Channels, s.Channel) || resumed[s] {
					rt.Fatalf("%v after %d", s, seq)
				}
				resumed[s] = true
			}
			for _, ch := range q.Channels {
				for _, symbol := range q.Symbols {
					s := Stream{Channel: ch, Symbol: symbol}
					if symbol == Wildcard {
						wild[ch] = &w
						forgetAll(named, ch)
						continue
					}
					if _, twice := named[s]; twice || resumed[s] != (b.last[s] > 0) {
						rt.Fatalf("%v: twice %v, resumed %v, known to %d", s, twice, resumed[s], b.last[s])
					}
					named[s] = w
				}
			}
		}
		for s, w := range b.named {
			if named[s] != w {
				rt.Fatalf("%v is asked for as %+v, want %+v", s, named[s], w)
			}
		}
		if !reflect.DeepEqual(wild, b.all) || len(b.except) > 0 {
			rt.Fatalf("wildcards %v, want %v; %d exceptions left", wild, b.all, len(b.except))
		}
	})
}
