package backpressure

import (
	"fmt"
	"testing"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// benchChunks makes rounds of chunks of five ticks, one of each of the streams a round.
func benchChunks(ch market.Channel, streams, rounds int) (chunks []*codec.Chunk) {
	const ticks = 5
	for r := range rounds {
		for i := range streams {
			s := market.Stream{Channel: ch, Symbol: fmt.Sprintf("SYM%d", i)}
			c, _ := testChunk(s, uint32(i), int64(1e9+r*ticks), ticks, 8)
			chunks = append(chunks, c)
		}
	}
	return chunks
}

// BenchmarkHealthy is a session that is sent all it wants at each step: ten chunks.
func BenchmarkHealthy(b *testing.B) {
	for _, enc := range []codec.Encoding{codec.MsgPack, codec.JSON} {
		b.Run(enc.String(), func(b *testing.B) {
			chunks := benchChunks(market.ChannelTrade, 10, 1)
			var q Queue
			q.Init(enc, 1<<20)
			buf := make([]byte, 0, codec.MaxBatchBytes)
			var batch codec.Batch
			var now int64
			b.ReportAllocs()
			for b.Loop() {
				now++
				for _, c := range chunks {
					q.Push(c, DropOldest, now)
				}
				batch.Reset(enc, buf)
				q.Fill(&batch, codec.MaxBatchBytes)
				batch.Bytes()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(chunks)), "ns/chunk")
		})
	}
}

// BenchmarkStuck is a session that takes nothing, so that every push is paid for in melts.
// The cost of a chunk must not rise with the budget.
func BenchmarkStuck(b *testing.B) {
	for _, p := range []Policy{Conflate, DropOldest, DropNewest, Aggregate} {
		ch := market.ChannelTrade
		if p == Conflate {
			ch = market.ChannelQuote
		}
		chunks := benchChunks(ch, 50, 200)
		for _, budget := range []int{64 << 10, 256 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%v/%dKiB", p, budget>>10), func(b *testing.B) {
				var q Queue
				q.Init(codec.MsgPack, budget)
				i := 0
				b.ReportAllocs()
				for b.Loop() {
					if i == len(chunks) {
						q, i = Queue{enc: q.enc, budget: budget}, 0
					}
					q.Push(chunks[i], p, 1)
					i++
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/chunk")
			})
		}
	}
}

// BenchmarkHold is an interval in which each of ten streams ticked a hundred times.
func BenchmarkHold(b *testing.B) {
	for _, p := range []Policy{Conflate, DropOldest, Aggregate} {
		ch := market.ChannelTrade
		if p == Conflate {
			ch = market.ChannelQuote
		}
		b.Run(p.String(), func(b *testing.B) {
			chunks := benchChunks(ch, 10, 20)
			var h Hold
			h.Init(codec.MsgPack, 1<<20)
			buf := make([]byte, 0, codec.MaxBatchBytes)
			var q Queue
			q.Init(codec.MsgPack, 1<<20)
			var batch codec.Batch
			b.ReportAllocs()
			for b.Loop() {
				for _, c := range chunks {
					h.Add(c, p)
				}
				h.Release(&q, 1)
				batch.Reset(codec.MsgPack, buf)
				q.Fill(&batch, codec.MaxBatchBytes)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(chunks)), "ns/chunk")
		})
	}
}
