package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/tickcast/tickcast/bench/internal/contest"
)

// What a connection may keep, in bytes.
const (
	idleHeap         = 600 // and as much for each stream that it has
	idleHeapEach     = 32
	loadedResident   = 2 << 10
	resident, secure = "resident memory a connection", 9.5 * 1024
)

// proveMemory measures what connections keep: heap of idle ones, resident memory under load, and
// both over TLS.
func proveMemory(ctx context.Context, p *proof, on *theatre) error {
	for _, streams := range []int{1, 10, 20} {
		_, heap, err := on.memory(ctx, on.Many, idle, "--pick", "even", "--symbols", fmt.Sprint(streams))
		if err != nil {
			return err
		}
		on.say("memory  %d idle connections of %d streams: %.0f bytes of heap each", on.Many, streams, heap)
		p.add("memory", fmt.Sprintf("heap a connection, %d idle ones of %d streams", on.Many, streams), "B", idleHeap+float64(streams)*idleHeapEach, heap)
	}
	for _, w := range []work{
		{Market: 100, Rate: 1000, Window: 300 * time.Millisecond},
		{Market: 100, Rate: 1000, Window: 5 * time.Millisecond},
	} {
		var all []float64
		for range min(3, on.Repeats) {
			rss, _, err := on.memory(ctx, on.Many, w, "--pick", "even", "--symbols", "10")
			if err != nil {
				return err
			}
			on.say("memory  %d connections, %.0f trades/s, window %s: %.0f bytes resident each", on.Many, w.Rate, w.Window, rss)
			all = append(all, rss)
		}
		p.add("memory", fmt.Sprintf("%s, %d of 10 streams of 100, %.0f trades/s, window %s", resident, on.Many, w.Rate, w.Window), "B", loadedResident, all...)
	}
	dir, err := os.MkdirTemp("", "tickcast-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cert, key, err := contest.SelfSigned(dir)
	if err != nil {
		return err
	}
	over := *on
	over.nodeOptions = []string{"--tls-cert", cert, "--tls-key", key}
	many := min(on.Many, 5000)
	for _, w := range []work{idle, {Market: 100, Rate: 200, Window: 300 * time.Millisecond}} {
		rss, heap, err := over.memory(ctx, many, w, "--pick", "even", "--symbols", "10", "--connect-rate", "500")
		if err != nil {
			return err
		}
		on.say("memory  %d TLS connections, %.0f trades/s: %.0f bytes resident each", many, w.Rate, rss)
		if w == idle {
			on.say("memory  %d idle TLS connections: %.0f bytes of heap each", many, heap)
			p.add("memory", fmt.Sprintf("heap a TLS connection, %d idle ones", many), "B", secure, heap)
		}
		p.add("memory", fmt.Sprintf("%s over TLS, %d, %.0f trades/s", resident, many, w.Rate), "B", secure, rss)
	}
	return nil
}

// idle is so little that connections are idle, and enough to see that they are served.
var idle = work{Market: 100, Rate: 1, Window: 5 * time.Millisecond}

// memory returns what a connection adds to a node's resident memory by the end of a load, and, of
// idle ones, to its heap while that goes on.
func (t *theatre) memory(ctx context.Context, subscribers int, w work, how ...string) (rss, heap float64, err error) {
	source, nats, err := t.source(ctx, w)
	if err != nil {
		return 0, 0, err
	}
	defer source.Kill()
	node, err := t.node(ctx, nats, w.Market, append([]string{"--batch-interval", w.Window.String()}, t.nodeOptions...)...)
	if err != nil {
		return 0, 0, err
	}
	defer node.Kill()
	before, err := node.heap(ctx)
	if err != nil {
		return 0, 0, err
	}
	end := make(chan error, 1)
	go func() {
		r, err := t.load(ctx, node, subscribers, append(how, "--nap", "2ms", "--warmup", "3s", "--duration", "10s")...)
		if err == nil {
			rss = r.Server.RSSPerConn
		}
		end <- err
	}()
	if w == idle {
		heap, err = node.heapAt(ctx, subscribers)
		heap = (heap - before) / float64(subscribers)
	}
	if ended := <-end; err == nil {
		err = ended
	}
	return rss, heap, err
}

// heapAt is the heap once the last of so many connections has been served for two seconds.
func (p *player) heapAt(ctx context.Context, connections int) (float64, error) {
	for {
		n, err := p.metric(ctx, "tickcast_connections")
		if err != nil {
			return 0, err
		}
		if err := sleep(ctx, 2*time.Second); err != nil {
			return 0, err
		}
		if int(n) >= connections {
			return p.heap(ctx)
		}
	}
}
