package bus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tickcast/tickcast/pkg/market"
)

func message(subject, data string) *nats.Msg {
	return &nats.Msg{Subject: subject, Data: []byte(data)}
}

func waitConnected(t *testing.T, b *Bus, want bool) {
	t.Helper()
	eventually(t, fmt.Sprintf("connected is %v", want), func() bool { return b.Status().Connected == want })
}

func TestConnectDoesNotNeedTheServer(t *testing.T) {
	nats := newNATSProcess(t, "-js")
	b := connect(t, Config{Servers: nats.url()})
	if err := b.Publish(trade("A"), []byte("early")); !errors.Is(err, ErrDisconnected) {
		t.Errorf("publish: got %v", err)
	}
	if err := b.Flush(t.Context()); !errors.Is(err, ErrDisconnected) {
		t.Errorf("flush: got %v", err)
	}
	if err := b.Last(t.Context(), []market.Stream{trade("A")}, nil); !errors.Is(err, ErrDisconnected) {
		t.Errorf("last: got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Ready(ended); !errors.Is(err, ErrDisconnected) || !errors.Is(err, context.Canceled) {
		t.Errorf("ready: got %v", err)
	}
	if got := b.Status(); got.Connected || got.Ever {
		t.Errorf("got %+v", got)
	}

	must(t, b.SubscribeAll(market.ChannelTrade))
	r := run(t, b)
	nats.start()
	waitReady(t, b)
	must(t, b.Publish(trade("A"), []byte("now")))
	if got := r.next(r.messages); got != "trade A: now" {
		t.Errorf("got %q", got)
	}
	if got := b.Status(); !got.Connected || !got.Ever || got.Reconnects != 0 || got.URL != nats.url() {
		t.Errorf("got %+v", got)
	}
}

func TestWrongPasswordIsToldAndNoPasswordShown(t *testing.T) {
	nats := newNATSProcess(t, "-js", "--user", "feed", "--pass", "secret")
	nats.start()
	withUser := func(user string) string { return strings.Replace(nats.url(), "//", "//"+user+"@", 1) }

	core, logs := observer.New(zap.DebugLevel)
	log := zap.New(core)
	good := connectReady(t, Config{Servers: withUser("feed:secret"), Log: log})
	if got := good.Status().URL; strings.Contains(got, "secret") {
		t.Errorf("status: %s", got)
	}
	bad := connect(t, Config{Servers: withUser("feed:wrongsecret"), Log: log.Named("bad")})
	var refusals []observer.LoggedEntry
	eventually(t, "the refusal is told", func() bool {
		refusals = logs.Filter(func(e observer.LoggedEntry) bool { return e.LoggerName == "bad" }).All()
		return len(refusals) > 0
	})
	if got := fmt.Sprint(refusals[0].ContextMap()); refusals[0].Level != zap.WarnLevel || !strings.Contains(got, "Authorization") {
		t.Errorf("first refusal: %s %s", refusals[0].Level, got)
	}
	if bad.Status().Ever {
		t.Error("connected with a wrong password")
	}
	for _, entry := range logs.All() {
		if text := fmt.Sprint(entry.Message, entry.ContextMap()); strings.Contains(text, "secret") {
			t.Errorf("logged: %s", text)
		}
	}
}

func TestReadyWaitsForJetStream(t *testing.T) {
	config := filepath.Join(t.TempDir(), "nats.conf")
	must(t, os.WriteFile(config, []byte("jetstream { max_memory_store: 1M }"), 0o600))
	nats := newNATSProcess(t, "-c", config)
	nats.start()
	core, logs := observer.New(zap.WarnLevel)
	b := connect(t, Config{Servers: nats.url(), Log: zap.New(core)}) // wants 512 MiB
	eventually(t, "the reason is told", func() bool {
		refused := logs.FilterMessage("JetStream is not ready").All()
		return len(refused) > 0 && strings.Contains(fmt.Sprint(refused[0].ContextMap()), "insufficient memory")
	})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Ready(ended); !errors.Is(err, context.Canceled) || errors.Is(err, ErrDisconnected) {
		t.Errorf("got %v", err)
	}
	small := connectReady(t, Config{Servers: nats.url(), HistoryBytes: 100_000})
	waitReady(t, b) // finds what the other has created
	small.Close()
}

func TestServerRestart(t *testing.T) {
	nats := newNATSProcess(t, "-js")
	nats.start()
	feed := connectReady(t, Config{Servers: nats.url(), Name: "feed"})
	node := connectReady(t, Config{Servers: nats.url(), Name: "node"})
	reconnected := make(chan string, 10)
	feed.OnReconnect(func() {
		reconnected <- "first"
		if err := errors.Join(
			feed.Announce("A", []market.Channel{market.ChannelQuote}),
			feed.Publish(quote("A"), []byte("again")),
		); err != nil {
			t.Error(err)
		}
	})
	feed.OnReconnect(func() { reconnected <- "second" })
	must(t, node.Subscribe(quote("A")))
	must(t, node.Sync(t.Context()))
	r := run(t, node)
	must(t, feed.Publish(quote("A"), []byte("before")))
	if got := r.next(r.messages); got != "quote A: before" {
		t.Fatalf("got %q", got)
	}
	must(t, feed.Flush(t.Context()))

	for restart := range 2 {
		nats.stop()
		waitConnected(t, feed, false)
		waitConnected(t, node, false)
		if err := feed.Publish(quote("A"), []byte("stale")); !errors.Is(err, ErrDisconnected) {
			t.Errorf("publish while away: got %v", err)
		}
		must(t, node.Subscribe(trade(fmt.Sprint("while away", restart))))
		nats.start()

		if first, second := r.next(reconnected), r.next(reconnected); first != "first" || second != "second" {
			t.Errorf("hooks ran as %s, %s", first, second)
		}
		if got := r.next(r.lost); got != "reconnected" {
			t.Errorf("lost: got %q", got)
		}
		// The node may have come back after the feed's hook ran: then only Last has it.
		eventually(t, "the newest is stored again", func() bool { return last(t, node, quote("A"))[quote("A")] == "again" })
		for {
			if got := r.next(r.announced); got == "A: quote" {
				break
			}
		}
		must(t, feed.Publish(trade(fmt.Sprint("while away", restart)), []byte("x")))
		var got []string
		for len(got) == 0 || !strings.HasPrefix(got[len(got)-1], "trade while away") {
			got = append(got, r.next(r.messages))
		}
		for _, m := range got {
			if strings.Contains(m, "stale") || strings.Contains(m, "before") {
				t.Errorf("replayed: %q", m)
			}
		}
	}
	for _, b := range []*Bus{feed, node} {
		if got := b.Status(); got.Reconnects != 2 || !got.Connected {
			t.Errorf("got %+v", got)
		}
	}
}

func TestFlushTellsOnceThatTheConnectionBroke(t *testing.T) {
	nats := newNATSProcess(t, "-js")
	b := connect(t, Config{Servers: nats.url()}) // its first attempts fail, which is no break
	nats.start()
	waitReady(t, b)
	must(t, b.Flush(t.Context()))
	for range 2 {
		must(t, b.Publish(trade("A"), []byte("may be swallowed")))
		nats.stop()
		waitConnected(t, b, false)
		if err := b.Flush(t.Context()); !errors.Is(err, ErrDisconnected) {
			t.Errorf("while away: got %v", err)
		}
		nats.start()
		waitConnected(t, b, true)
		must(t, b.Publish(trade("A"), []byte("on the new connection")))
		if err := b.Flush(t.Context()); !errors.Is(err, ErrBroken) {
			t.Errorf("after the break: got %v", err)
		}
		must(t, b.Flush(t.Context()))
	}
}

func TestJetStreamSwitchedOnLaterIsNoticed(t *testing.T) {
	nats := newNATSProcess(t)
	nats.start()
	b := connectReady(t, Config{Servers: nats.url()})
	nats.stop()
	waitConnected(t, b, false)
	nats.args = []string{"-js"}
	nats.start()
	eventually(t, "ready with a store", func() bool {
		_, err := b.Symbols(t.Context())
		return err == nil
	})
}

func TestCallsEndWithTheConnection(t *testing.T) {
	nats := newNATSProcess(t, "-js")
	nats.start()
	b := connectReady(t, Config{Servers: nats.url()})
	must(t, b.Publish(trade("A"), []byte("x")))
	eventually(t, "stored", func() bool { return len(last(t, b, trade("A"))) == 1 })

	nats.freeze()
	asked := b.nc.NumSubscriptions() + 1
	ended := make(chan error, 1)
	go func() {
		ended <- b.History(t.Context(), trade("A"), time.Time{}, func([]byte) bool { return true })
	}()
	eventually(t, "the question is out", func() bool { return b.nc.NumSubscriptions() == asked })
	nats.signal(syscall.SIGKILL)
	if err := <-ended; !errors.Is(err, ErrDisconnected) {
		t.Errorf("got %v", err)
	}
	nats.wait()
	nats.start()
	waitConnected(t, b, true)
	waitReady(t, b)
	if got := history(t, b, trade("A"), time.Time{}); len(got) != 0 {
		t.Errorf("memory outlived the server: %q", got)
	}
}

// The promise is that a reader which was too slow hears of it after the last drop, so that
// comparing with Last then finds every hole.
func TestSlowHandlerIsToldAfterTheLastDrop(t *testing.T) {
	b := connectReady(t, Config{Servers: Embedded, QueueMessages: 64})
	must(t, b.SubscribeAll(market.ChannelTrade))
	must(t, b.SubscribeAll(market.ChannelQuote))
	must(t, b.Sync(t.Context()))

	ctx, cancel := context.WithCancel(t.Context())
	entered, release := make(chan struct{}), make(chan struct{})
	lost := make(chan uint64, 100) // Dropped as each report saw it
	delivered := 0
	ran := make(chan error, 1)
	go func() {
		ran <- b.Run(ctx, Handler{
			Messages: func(batch []Message) {
				if delivered == 0 {
					close(entered)
					<-release
				}
				delivered += len(batch)
			},
			Announced: func(string, []market.Channel) {},
			Lost:      func(string) { lost <- b.Status().Dropped },
		})
	}()

	must(t, b.Publish(trade("A"), nil))
	<-entered
	const published = 1001
	for i := range published - 1 {
		s := trade("A")
		if i%2 == 0 {
			s = quote("A")
		}
		must(t, b.Publish(s, nil))
	}
	must(t, b.Sync(t.Context())) // all of it has reached the queue, or was dropped
	close(release)

	final := b.Status().Dropped
	if final == 0 {
		t.Fatal("nothing was dropped")
	}
	for seen := uint64(0); seen != final; {
		select {
		case seen = <-lost:
		case <-time.After(patience):
			t.Fatalf("the last report saw %d drops of %d", seen, final)
		}
	}
	b.UnsubscribeAll(market.ChannelTrade)
	if got := b.Status().Dropped; got != final {
		t.Errorf("unsubscribing changed the count from %d to %d", final, got)
	}
	cancel()
	must(t, <-ran)
	if delivered+int(final) != published {
		t.Errorf("%d delivered and %d dropped of %d", delivered, final, published)
	}
	if len(lost) != 0 {
		t.Errorf("%d further reports without a drop", len(lost))
	}
}
