package codec

import "testing"

const benchTicks = 50 // in a chunk, as many as a busy feed sends at once

func benchChunk(b *testing.B) *Chunk {
	b.Helper()
	seqs := make([]int64, benchTicks)
	for i := range seqs {
		seqs[i] = 1_000_000 + int64(i)
	}
	c, _, err := ParseChunk(testStream, trades(b, seqs...))
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func perTick(b *testing.B, ticks int) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(ticks), "ns/tick")
}

func BenchmarkAppendTrade(b *testing.B) {
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = AppendTrade(buf[:0], &testTrade)
	}
	perTick(b, 1)
}

func BenchmarkNextTick(b *testing.B) {
	rec := mustEvents(b, testTrade)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := NextTick(rec); err != nil {
			b.Fatal(err)
		}
	}
	perTick(b, 1)
}

func BenchmarkParseChunk(b *testing.B) {
	body := benchChunk(b).Bytes
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ParseChunk(testStream, body); err != nil {
			b.Fatal(err)
		}
	}
	perTick(b, benchTicks)
}

// BenchmarkBatch is one subscriber's frame of ten chunks, built and closed.
func BenchmarkBatch(b *testing.B) {
	c := benchChunk(b)
	for _, e := range []Encoding{MsgPack, JSON} {
		b.Run(e.String(), func(b *testing.B) {
			var batch Batch
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset(e, buf)
				for range 10 {
					batch.Add(c.In(e), c.N)
				}
				buf = batch.Bytes()
			}
			perTick(b, 10*benchTicks)
		})
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	rec := mustEvents(b, testTrade)
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = AppendJSON(buf[:0], rec)
	}
	perTick(b, 1)
}

func BenchmarkDecodeBatch(b *testing.B) {
	c := benchChunk(b)
	for _, e := range []Encoding{MsgPack, JSON} {
		b.Run(e.String(), func(b *testing.B) {
			var batch Batch
			batch.Reset(e, nil)
			batch.Add(c.In(e), c.N)
			data := batch.Bytes()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeBatch(e, data); err != nil {
					b.Fatal(err)
				}
			}
			perTick(b, benchTicks)
		})
	}
}

func BenchmarkDecodeRequest(b *testing.B) {
	for _, v := range vectors() {
		if v.Name != "subscribe" {
			continue
		}
		for _, e := range []Encoding{MsgPack, JSON} {
			data, err := AppendRequest(nil, e, &v.request)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(e.String(), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, refused := DecodeRequest(e, data); refused != nil {
						b.Fatal(refused)
					}
				}
			})
		}
	}
}
