package client

import (
	"context"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// What an event costs from the bytes of its batch to the program's loop.
func BenchmarkEvents(b *testing.B) {
	const perBatch = 100
	c := &Client{backlog: newBacklog(defaultBacklog), books: newBooks()}
	c.books.add(tradesA, want{})
	ln := &link{c: c, ctx: context.Background(), hello: codec.Hello{Heartbeat: time.Second}, up: true}
	var batch codec.Batch
	var buf, rec []byte
	seq := int64(0)
	for b.Loop() {
		batch.Reset(codec.MsgPack, buf)
		for range perBatch {
			seq++
			rec, _ = codec.AppendTrade(rec[:0], &market.Trade{Symbol: "A", Seq: seq, Price: 1.5, Size: 2, ID: "1"})
			batch.AddRecord(rec)
		}
		buf = batch.Bytes()
		events, err := codec.DecodeBatch(codec.MsgPack, buf)
		if err != nil {
			b.Fatal(err)
		}
		c.take(ln, events)
		for range perBatch {
			if _, err := c.next(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(seq)/b.Elapsed().Seconds(), "events/s")
}
