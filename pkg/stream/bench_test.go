package stream

import (
	"fmt"
	"testing"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// A deaf upstream takes every subscription and says nothing.
type deaf struct{ Upstream }

func (deaf) Subject(s market.Stream) string    { return s.String() }
func (deaf) Subscribe(market.Stream) error     { return nil }
func (deaf) SubscribeAll(market.Channel) error { return nil }

// BenchmarkIngest is what a tick costs from the upstream's callback to the shard's inbox,
// with so many ticks in a message. The upstream's own part is not in it.
func BenchmarkIngest(b *testing.B) {
	for _, ticks := range []int{1, 5, 25} {
		b.Run(fmt.Sprintf("%d ticks a message", ticks), func(b *testing.B) {
			const symbols = 100
			cfg := Config{}.withDefaults()
			in := newIngest(deaf{}, &cfg, newClock(), func(int, []item) {})
			bodies := make([][]byte, symbols)
			subjects := make([]string, symbols)
			var followed []*tape
			for i := range symbols {
				s := market.Stream{Channel: market.ChannelTrade, Symbol: fmt.Sprintf("SYM%02d", i)}
				for seq := range ticks {
					bodies[i], _ = codec.AppendTrade(bodies[i], &market.Trade{
						Symbol: s.Symbol, Seq: int64(seq + 1), Time: 1700000000000000000, Price: 101.25, Size: 7, Side: market.SideBuy, ID: "123456789",
					})
				}
				t := in.tapeOf(s)
				t.state, t.wanted, t.listed = tapeLive, 1, true
				subjects[i], followed = t.subject, append(followed, t)
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				i := n % symbols
				if i == 0 {
					for _, t := range followed {
						t.last = 0 // the same seqs again
					}
					in.idle()
				}
				in.message(subjects[i], bodies[i], nil)
				n++
			}
			in.idle() // counts what came since
			if got := in.metrics.ticks.Load(); got != int64(n*ticks) {
				b.Fatalf("%d ticks taken, want %d", got, n*ticks)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*ticks), "ns/tick")
		})
	}
}

// BenchmarkFanOut is what a delivered tick costs from the shard's inbox to a frame, all but
// the system call: a thousand sessions of ten symbols out of a hundred, all different or
// all alike, with so many ticks a frame.
func BenchmarkFanOut(b *testing.B) {
	for _, alike := range []bool{false, true} {
		for _, ticks := range []int{1, 5, 50, 250} {
			b.Run(fmt.Sprintf("alike=%v/%d ticks a frame", alike, ticks), func(b *testing.B) { benchmarkFanOut(b, alike, ticks) })
		}
	}
}

func benchmarkFanOut(b *testing.B, alike bool, ticks int) {
	const sessions, symbols, each = 1000, 100, 10
	h := newHandShard(b, Config{})
	for i := range symbols {
		h.tape(fmt.Sprintf("SYM%02d", i))
	}
	for i := range sessions {
		var names []string
		for k := range each {
			n := k
			if !alike {
				n = i*7 + k*11 + i/symbols
			}
			names = append(names, fmt.Sprintf("SYM%02d", n%symbols))
		}
		w := h.subscriber(codec.MsgPack, backpressure.DropOldest, names...)
		w.s.deflate, w.deaf = false, true
	}
	// Of the ten symbols of a session, so many tick in a window, and so often.
	live, times := min(ticks, each), max(1, ticks/each)
	b.ReportAllocs()
	for b.Loop() {
		for i := range symbols * live / each {
			h.publish(fmt.Sprintf("SYM%02d", i*each/live), times)
		}
		h.step()
	}
	delivered := h.counts.events.Load()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(delivered), "ns/tick")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(h.counts.batches.Load()), "ns/frame")
	b.ReportMetric(float64(delivered)/float64(h.counts.batches.Load()), "ticks/frame")
}
