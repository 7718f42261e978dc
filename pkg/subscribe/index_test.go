package subscribe_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/subscribe"
)

type (
	index = subscribe.Index[*session, int]
	set   = subscribe.Set[*session, int]
)

type session struct {
	set
	name string
}

func (s *session) Subscriptions() *set { return &s.set }

// twin is the slow, obvious index: it remembers for each session what holds.
type twin struct {
	named map[subscribe.ID]int
	wild  map[market.Channel]int
	out   map[subscribe.ID]bool
}

func (w *twin) clearChannel(ch market.Channel) {
	maps.DeleteFunc(w.named, func(id subscribe.ID, _ int) bool { return id.Channel() == ch })
	maps.DeleteFunc(w.out, func(id subscribe.ID, _ bool) bool { return id.Channel() == ch })
}

func (w *twin) opt(id subscribe.ID) (int, bool) {
	if o, ok := w.named[id]; ok {
		return o, true
	}
	o, ok := w.wild[id.Channel()]
	return o, ok && !w.out[id]
}

// exceptions are the streams that a wildcard leaves out, because they are named or ended.
func (w *twin) exceptions() map[subscribe.ID]bool {
	all := maps.Clone(w.out)
	for id := range w.named {
		if _, on := w.wild[id.Channel()]; on {
			all[id] = true
		}
	}
	return all
}

// matches lists who gets the stream, and with which options, as a shard would walk it.
func matches(x *index, id subscribe.ID) []string {
	var got []string
	for _, s := range x.Named(id) {
		got = append(got, fmt.Sprint(s.Owner.name, s.Opt))
	}
	wild := x.Wild(id.Channel())
	for i := range wild {
		if !x.Excepts(wild[i].Owner, id) {
			got = append(got, fmt.Sprint(wild[i].Owner.name, wild[i].Opt))
		}
	}
	slices.Sort(got)
	return got
}

func TestIndexAgreesWithTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const symbols = 80 // twice that is above SmallSet, so that both kinds of set are met
		var x index
		sets, twins := map[string]*session{}, map[string]*twin{}
		for _, name := range []string{"a", "b", "c"} {
			sets[name] = &session{name: name}
			twins[name] = &twin{named: map[subscribe.ID]int{}, wild: map[market.Channel]int{}, out: map[subscribe.ID]bool{}}
		}
		who := rapid.SampledFrom([]string{"a", "b", "c"})
		channel := rapid.SampledFrom([]market.Channel{market.ChannelTrade, market.ChannelQuote})
		stream := rapid.Custom(func(t *rapid.T) subscribe.ID {
			return subscribe.MakeID(rapid.IntRange(0, symbols-1).Draw(t, "symbol"), channel.Draw(t, "channel"))
		})
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				n, id, opt := who.Draw(t, "who"), stream.Draw(t, "stream"), rapid.IntRange(0, 9).Draw(t, "opt")
				_, had := twins[n].named[id]
				if got := x.Add(sets[n], id, opt); got == had {
					t.Fatalf("Add said new=%v, had=%v", got, had)
				}
				twins[n].named[id] = opt
			},
			"add many": func(t *rapid.T) {
				n, opt := who.Draw(t, "who"), rapid.IntRange(0, 9).Draw(t, "opt")
				for sym := range symbols {
					for _, ch := range []market.Channel{market.ChannelTrade, market.ChannelQuote} {
						id := subscribe.MakeID(sym, ch)
						x.Add(sets[n], id, opt)
						twins[n].named[id] = opt
					}
				}
			},
			"remove": func(t *rapid.T) {
				n, id := who.Draw(t, "who"), stream.Draw(t, "stream")
				w := twins[n]
				_, had := w.named[id]
				_, covered := w.wild[id.Channel()]
				covered = covered && !had && !w.out[id]
				byName, byWild := x.Remove(sets[n], id)
				if byName != had || byWild != covered {
					t.Fatalf("Remove said %v %v, want %v %v", byName, byWild, had, covered)
				}
				delete(w.named, id)
				if _, on := w.wild[id.Channel()]; on {
					w.out[id] = true
				}
			},
			"unname": func(t *rapid.T) {
				n, id := who.Draw(t, "who"), stream.Draw(t, "stream")
				_, had := twins[n].named[id]
				if got := x.Unname(sets[n], id); got != had {
					t.Fatalf("Unname said %v, want %v", got, had)
				}
				if had {
					delete(twins[n].named, id)
					delete(twins[n].out, id)
				}
			},
			"add all": func(t *rapid.T) {
				n, ch, opt := who.Draw(t, "who"), channel.Draw(t, "channel"), rapid.IntRange(0, 9).Draw(t, "opt")
				x.AddAll(sets[n], ch, opt, func(subscribe.ID) {})
				twins[n].clearChannel(ch)
				twins[n].wild[ch] = opt
			},
			"alter": func(t *rapid.T) {
				n, ch := who.Draw(t, "who"), channel.Draw(t, "channel")
				x.Alter(sets[n], func(of market.Channel, opt int) int {
					if of == ch {
						opt = (opt + 1) % 10
					}
					return opt
				})
				for id, opt := range twins[n].named {
					if id.Channel() == ch {
						twins[n].named[id] = (opt + 1) % 10
					}
				}
				if opt, on := twins[n].wild[ch]; on {
					twins[n].wild[ch] = (opt + 1) % 10
				}
			},
			"remove all": func(t *rapid.T) {
				n, ch := who.Draw(t, "who"), channel.Draw(t, "channel")
				ended := 0
				_, on := twins[n].wild[ch]
				if got := x.RemoveAll(sets[n], ch, func(subscribe.ID) { ended++ }); got != on {
					t.Fatalf("RemoveAll said %v, want %v", got, on)
				}
				before := len(twins[n].named)
				twins[n].clearChannel(ch)
				if before-len(twins[n].named) != ended {
					t.Fatalf("RemoveAll ended %d names, want %d", ended, before-len(twins[n].named))
				}
				delete(twins[n].wild, ch)
			},
			"clear": func(t *rapid.T) {
				n := who.Draw(t, "who")
				x.Clear(sets[n], func(subscribe.ID) {}, func(market.Channel) {})
				twins[n] = &twin{named: map[subscribe.ID]int{}, wild: map[market.Channel]int{}, out: map[subscribe.ID]bool{}}
			},
			"": func(t *rapid.T) {
				for sym := range symbols {
					for _, ch := range []market.Channel{market.ChannelTrade, market.ChannelQuote} {
						id := subscribe.MakeID(sym, ch)
						var want []string
						for n, w := range twins {
							named, isNamed := w.named[id]
							if got, ok := x.OptionOf(sets[n], id); ok != isNamed || got != named {
								t.Fatalf("%s.OptionOf(%d) = %d, %v, want %d, %v", n, id, got, ok, named, isNamed)
							}
							opt, ok := w.opt(id)
							if ok {
								want = append(want, fmt.Sprint(n, opt))
							}
							if sets[n].Has(id) != ok {
								t.Fatalf("%s.Has(%d) = %v, want %v", n, id, !ok, ok)
							}
						}
						slices.Sort(want)
						if got := matches(&x, id); !slices.Equal(got, want) {
							t.Fatalf("stream %d: got %v, want %v", id, got, want)
						}
					}
				}
				for n, w := range twins {
					for other, v := range twins {
						alike := maps.EqualFunc(w.named, v.named, func(int, int) bool { return true }) &&
							maps.EqualFunc(w.wild, v.wild, func(int, int) bool { return true }) && maps.Equal(w.exceptions(), v.exceptions())
						if got := sets[n].Fingerprint() == sets[other].Fingerprint(); got != alike {
							t.Fatalf("fingerprints of %s and %s are equal: %v, want %v", n, other, got, alike)
						}
					}
					if sets[n].Len() != len(w.named) {
						t.Fatalf("%s names %d, want %d", n, sets[n].Len(), len(w.named))
					}
				}
			},
		})
	})
}

func BenchmarkIndexMatch(b *testing.B) {
	const sessions, symbols, each = 1000, 100, 10
	var x index
	for i := range sessions {
		s := new(session)
		for k := range each {
			x.Add(s, subscribe.MakeID((i*7+k*11)%symbols, market.ChannelTrade), k)
		}
	}
	b.ReportAllocs()
	n, sum := 0, 0
	for b.Loop() {
		for _, s := range x.Named(subscribe.MakeID(n%symbols, market.ChannelTrade)) {
			sum += s.Opt
		}
		n++
	}
	if sum == 0 {
		b.Fatal("nobody matched")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*sessions*each/symbols), "ns/subscriber")
}

func BenchmarkIndexAddClear(b *testing.B) {
	var x index
	b.ReportAllocs()
	for b.Loop() {
		s := new(session)
		for k := range 10 {
			x.Add(s, subscribe.MakeID(k, market.ChannelTrade), k)
		}
		x.Clear(s, func(subscribe.ID) {}, func(market.Channel) {})
	}
}
