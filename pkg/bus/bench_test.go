package bus

import (
	"bytes"
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/market"
)

// BenchmarkReceive is the whole way of a message until Run has delivered it. The server is
// another process, so that cpu-ns is what publisher and reader cost together.
func BenchmarkReceive(b *testing.B) {
	const tickBytes = 64
	for _, ticks := range []int{1, 50} {
		b.Run(fmt.Sprintf("ticks=%d", ticks), func(b *testing.B) {
			nats := newNATSProcess(b, "-js")
			nats.start()
			bus := connectReady(b, Config{Servers: nats.url()})
			feed := connectReady(b, Config{Servers: nats.url()})
			must(b, bus.SubscribeAll(market.ChannelQuote))
			must(b, bus.Sync(b.Context()))
			body := bytes.Repeat([]byte{'x'}, ticks*tickBytes)
			const window = 4096 // in flight, so that nothing is dropped
			taken := make(chan int, window)
			ctx, cancel := context.WithCancel(b.Context())
			ran := make(chan error, 1)
			go func() {
				ran <- bus.Run(ctx, Handler{
					Messages:  func(batch []Message) { taken <- len(batch) },
					Announced: func(string, []market.Channel) {},
					Lost:      func(reason string) { b.Error(reason) },
				})
			}()
			sent, received := 0, 0
			cpuBefore := cpuTime(b)
			for b.Loop() {
				for sent-received >= window {
					received += <-taken
				}
				must(b, feed.Publish(quote("BTC"), body))
				sent++
			}
			for received < sent {
				received += <-taken
			}
			ns := float64(cpuTime(b)-cpuBefore) / float64(sent)
			b.ReportMetric(ns, "cpu-ns/message")
			b.ReportMetric(ns/float64(ticks), "cpu-ns/tick")
			cancel()
			must(b, <-ran)
		})
	}
}

func cpuTime(b *testing.B) time.Duration {
	var use syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &use))
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// BenchmarkTake is the reader's share alone: from nats.go's channel into the handler.
func BenchmarkTake(b *testing.B) {
	bus := connectReady(b, Config{Servers: Embedded})
	m := message(Subject(quote("BTC")), "x")
	taken := 0
	r := &reader{bus: bus, batch: make([]Message, 0, batchMax), Handler: Handler{
		Messages: func(batch []Message) { taken += len(batch) },
	}}
	for b.Loop() {
		for range batchMax {
			bus.queue <- m
		}
		for len(bus.queue) > 0 {
			r.take()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(taken), "ns/message")
}

func BenchmarkLast(b *testing.B) {
	for _, listen := range []string{"", "127.0.0.1:0"} {
		name := "in-process"
		if listen != "" {
			name = "tcp"
		}
		b.Run(name, func(b *testing.B) {
			server := connectReady(b, Config{Servers: Embedded, Listen: listen})
			reader := server
			if listen != "" {
				reader = connectReady(b, Config{Servers: server.Status().URL})
			}
			var streams []market.Stream
			for i := range 1000 {
				streams = append(streams, quote(fmt.Sprint("S", i)))
				must(b, server.Publish(streams[i], make([]byte, 100)))
			}
			must(b, server.Flush(b.Context()))
			eventually(b, "all stored", func() bool { return len(last(b, reader, streams...)) == len(streams) })
			for b.Loop() {
				last(b, reader, streams...)
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/1000-streams")
		})
	}
}

// BenchmarkHistory reads the 10,000 stored messages of one symbol among those of 50.
func BenchmarkHistory(b *testing.B) {
	bus := connectReady(b, Config{Servers: Embedded})
	const symbols, each = 50, 10_000
	body := make([]byte, 100)
	for i := range each {
		for s := range symbols {
			must(b, bus.Publish(trade(fmt.Sprint("S", s)), body))
		}
		if i%100 == 0 {
			must(b, bus.Flush(b.Context()))
		}
	}
	must(b, bus.Publish(trade("S0"), []byte("end")))
	eventually(b, "stored", func() bool { return last(b, bus, trade("S0"))[trade("S0")] == "end" })
	for b.Loop() {
		n := 0
		must(b, bus.History(b.Context(), trade("S0"), time.Time{}, func([]byte) bool { n++; return true }))
		if want := each + 1; n != want { // and the one that tells the end
			b.Fatalf("got %d messages, want %d", n, want)
		}
	}
}
