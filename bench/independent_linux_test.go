package main

import (
	"context"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/tickcast/tickcast/bench/internal/tape"
	"github.com/tickcast/tickcast/pkg/stream"
)

// A counter is a subscriber that shares no code with the load generator: coder/websocket
// reads, and each batch is decoded as whatever it holds.
type counter struct {
	acked  chan struct{}
	trades atomic.Int64
}

func (c *counter) run(ctx context.Context, t *testing.T, url string, symbols []string) {
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{"tickcast.v1.msgpack"}})
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(-1)
	request, err := msgpack.Marshal(map[string]any{"op": "subscribe", "id": 1, "channels": []string{"trade"}, "symbols": symbols})
	if err == nil {
		err = conn.Write(ctx, websocket.MessageBinary, request)
	}
	if err != nil {
		t.Error(err)
		return
	}
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return
		}
		var batch [][]any
		if err := msgpack.Unmarshal(data, &batch); err != nil {
			t.Error(err)
			return
		}
		for _, event := range batch {
			switch event[0] {
			case "ack":
				close(c.acked)
			case "t":
				c.trades.Add(1)
			}
		}
	}
}

// What load counts for each of its subscribers is what an independent client on the same
// node counts at the same time.
func TestLoadAgreesWithAnotherClient(t *testing.T) {
	const subscribers, clients, rounds = 40, 3, 200
	source := make(manual)
	r := newRig(t, source, stream.Config{}, (*httptest.Server).Start)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	l := options[load](t, "--url", r.url, "--subscribers", "40", "--pick", "fixed", "--symbols", "10", "--connect-rate", "1000", "--duration", "1h")
	if err := l.prepare(ctx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	begin, told := make(chan struct{}), make(chan news, 1000)
	go func() {
		defer close(ended)
		(&share{Load: *l, Plan: l.plan, Members: subscribers}).run(ctx, begin, func(n news) { told <- n })
	}()
	counters := make([]*counter, clients)
	stopped := make(chan struct{}, clients)
	for i := range counters {
		counters[i] = &counter{acked: make(chan struct{})}
		go func() {
			counters[i].run(ctx, t, r.url, tape.Symbols(20)[:10])
			stopped <- struct{}{}
		}()
	}
	defer func() {
		cancel()
		<-ended
		for range clients {
			<-stopped
		}
	}()

	phase, counted := "", int64(0)
	look := func() {
		for len(told) > 0 {
			n := <-told
			if n.Err != "" {
				t.Fatal(n.Err)
			}
			if phase = n.Phase; phase == "counting" {
				counted += n.Ticks
			}
		}
	}
	for _, c := range counters {
		await(t, "the ack of a client", func() bool {
			select {
			case <-c.acked:
				return true
			default:
				return false
			}
		})
	}
	await(t, "the load's subscribers", func() bool { look(); return phase == "ready" })
	close(begin)
	await(t, "the load to count", func() bool { look(); return phase == "counting" })
	source <- rounds
	const each = rounds * 10
	for i, c := range counters {
		await(t, "a client's trades", func() bool { return c.trades.Load() >= each })
		if n := c.trades.Load(); n != each {
			t.Errorf("client %d counts %d trades, %d were published", i, n, each)
		}
	}
	await(t, "the load's trades", func() bool { look(); return counted >= each*subscribers })
	phase = ""
	await(t, "the load to look once more", func() bool { look(); return phase == "counting" })
	if counted != each*subscribers {
		t.Errorf("load counts %v trades for each subscriber, other clients %d", float64(counted)/subscribers, each)
	}
}
