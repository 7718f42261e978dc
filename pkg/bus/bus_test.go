package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"github.com/tickcast/tickcast/pkg/market"
)

// last is Last as a map, for one call that must succeed.
func last(t testing.TB, b *Bus, streams ...market.Stream) map[market.Stream]string {
	t.Helper()
	got := map[market.Stream]string{}
	must(t, b.Last(t.Context(), streams, func(s market.Stream, body []byte) { got[s] = string(body) }))
	return got
}

func history(t testing.TB, b *Bus, s market.Stream, since time.Time) []string {
	t.Helper()
	var got []string
	must(t, b.History(t.Context(), s, since, func(body []byte) bool {
		got = append(got, string(body))
		return true
	}))
	return got
}

func TestOneBusLastSeesWhatTheOtherPublishes(t *testing.T) {
	feed := connectReady(t, Config{Servers: Embedded, Listen: "127.0.0.1:0"})
	node := connectReady(t, Config{Servers: feed.Status().URL})

	want := map[market.Stream]string{}
	for _, symbol := range []string{"AAPL", "BRK.B", "BTC/USD", "ABR$D", "A B", ">", "é"} {
		for _, ch := range market.AllChannels() {
			s := market.Stream{Channel: ch, Symbol: symbol}
			must(t, feed.Publish(s, []byte("older")))
			must(t, feed.Publish(s, []byte("newest "+s.String())))
			want[s] = "newest " + s.String()
		}
	}
	must(t, feed.Flush(t.Context()))

	ask := append(slices.Collect(maps.Keys(want)), trade("NEVER"), quote("NEVER"))
	var got map[market.Stream]string
	eventually(t, "all stored", func() bool {
		got = last(t, node, ask...)
		return maps.Equal(got, want)
	})
	if got := last(t, node); len(got) != 0 {
		t.Errorf("asked for nothing, got %v", got)
	}
}

func TestLastTakesAnyNumberOfStreams(t *testing.T) {
	b := connectReady(t, Config{Servers: Embedded})
	var streams []market.Stream
	for i := range 2*lastPageMax + 10 {
		streams = append(streams, quote(fmt.Sprint("S", i)))
		must(t, b.Publish(streams[i], []byte(streams[i].Symbol)))
	}
	must(t, b.Flush(t.Context()))
	eventually(t, "all stored", func() bool { return len(last(t, b, streams...)) == len(streams) })
	for s, body := range last(t, b, streams...) {
		if s.Symbol != body {
			t.Errorf("%s: got %q", s, body)
		}
	}
}

func TestPagesEndByBytesAndGoOn(t *testing.T) {
	b := connectReady(t, Config{Servers: Embedded})
	const n = 2*pageBytesMax/500_000 + 1
	body := make([]byte, 500_000)
	var streams []market.Stream
	for i := range n {
		body[0] = byte(i)
		streams = append(streams, quote(fmt.Sprint("S", i)))
		must(t, b.Publish(streams[i], body))
		must(t, b.Publish(trade("A"), body))
	}
	eventually(t, "all last values", func() bool { return len(last(t, b, streams...)) == n })
	eventually(t, "all history", func() bool { return len(history(t, b, trade("A"), time.Time{})) == n })
	for i, body := range history(t, b, trade("A"), time.Time{}) {
		if body[0] != byte(i) {
			t.Fatalf("message %d came in place %d", body[0], i)
		}
	}
}

func TestHistoryIsAllTradesInOrder(t *testing.T) {
	const kept = 1500
	b := connectReady(t, Config{Servers: Embedded, HistoryPerStream: kept})
	const published = kept + 500
	for i := range published {
		must(t, b.Publish(trade("A"), fmt.Append(nil, i)))
		must(t, b.Publish(trade("B"), []byte("another symbol's")))
	}
	var want []string
	for i := published - kept; i < published; i++ {
		want = append(want, fmt.Sprint(i))
	}
	newest := func() string { return last(t, b, trade("A"))[trade("A")] }
	eventually(t, "stored", func() bool { return newest() == want[len(want)-1] })

	if got := history(t, b, trade("A"), time.Time{}); !slices.Equal(got, want) {
		t.Errorf("got %d messages, want %d, in order", len(got), len(want))
	}
	if got := history(t, b, trade("A"), time.Now().Add(-time.Hour)); !slices.Equal(got, want) {
		t.Errorf("since an hour ago: got %d messages, want %d", len(got), len(want))
	}
	if got := history(t, b, trade("A"), time.Now().Add(time.Hour)); len(got) != 0 {
		t.Errorf("since a later hour: got %d messages", len(got))
	}
	if got := history(t, b, trade("NEVER"), time.Time{}); len(got) != 0 {
		t.Errorf("never published: got %d messages", len(got))
	}

	calls := 0
	must(t, b.History(t.Context(), trade("A"), time.Time{}, func([]byte) bool { calls++; return calls < 5 }))
	if calls != 5 {
		t.Errorf("yield was called %d times, and said enough at 5", calls)
	}
}

func TestHistorySinceLeavesOutWhatIsOlder(t *testing.T) {
	b := connectReady(t, Config{Servers: Embedded})
	must(t, b.Publish(trade("A"), []byte("old")))
	eventually(t, "stored", func() bool { return len(last(t, b, trade("A"))) == 1 })
	since := time.Now()
	must(t, b.Publish(trade("A"), []byte("new")))
	eventually(t, "stored", func() bool { return last(t, b, trade("A"))[trade("A")] == "new" })
	if got := history(t, b, trade("A"), since); !slices.Equal(got, []string{"new"}) {
		t.Errorf("got %q", got)
	}
}

func TestMessagesComeInOneOrderOverAllSubscriptions(t *testing.T) {
	for _, every := range []time.Duration{0, 5 * time.Millisecond} {
		t.Run("read every "+every.String(), func(t *testing.T) {
			server := connectReady(t, Config{Servers: Embedded, Listen: "127.0.0.1:0"})
			messagesComeInOneOrder(t, server)
			messagesComeInOneOrder(t, connectReady(t, Config{Servers: server.Status().URL, ReadEvery: every}))
		})
	}
}

func messagesComeInOneOrder(t *testing.T, b *Bus) {
	streams := []market.Stream{trade("A"), quote("A"), trade("B"), quote("B"), bar("A"), bar("B")}
	for _, s := range streams[:4] {
		must(t, b.Subscribe(s))
		must(t, b.Subscribe(s)) // changes nothing
	}
	must(t, b.SubscribeAll(market.ChannelBar))
	must(t, b.Sync(t.Context()))
	r := run(t, b)

	var want []string
	for i := range 2000 {
		s := streams[i*7%len(streams)]
		body := fmt.Sprint(i)
		must(t, b.Publish(s, []byte(body)))
		want = append(want, s.String()+": "+body)
	}
	for _, want := range want {
		if got := r.next(r.messages); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	if got := b.Status(); got.Dropped != 0 || !got.Connected || !got.Ever || got.Reconnects != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestUnsubscribedStreamsAreSilent(t *testing.T) {
	b := connectReady(t, Config{Servers: Embedded})
	r := run(t, b)
	must(t, b.Subscribe(trade("A")))
	must(t, b.Subscribe(trade("B")))
	must(t, b.SubscribeAll(market.ChannelQuote))
	b.Unsubscribe(trade("A"))
	b.Unsubscribe(trade("NEVER"))
	b.UnsubscribeAll(market.ChannelQuote)
	must(t, b.Sync(t.Context()))

	must(t, b.Publish(trade("A"), []byte("unwanted")))
	must(t, b.Publish(quote("A"), []byte("unwanted")))
	must(t, b.Publish(trade("B"), []byte("wanted")))
	if got := r.next(r.messages); got != "trade B: wanted" {
		t.Errorf("got %q", got)
	}
}

func TestAnnouncementsAreStoredAndLive(t *testing.T) {
	feed := connectReady(t, Config{Servers: Embedded, Listen: "127.0.0.1:0"})
	must(t, feed.Announce("BRK.B", []market.Channel{market.ChannelTrade}))
	must(t, feed.Announce("BRK.B", []market.Channel{market.ChannelTrade, market.ChannelBar}))
	must(t, feed.Announce("BTC/USD", market.AllChannels()))
	var directory map[string][]market.Channel
	eventually(t, "the directory is stored", func() bool {
		var err error
		directory, err = feed.Symbols(t.Context())
		must(t, err)
		return len(directory) == 2 && len(directory["BRK.B"]) == 2
	})
	if got := directory["BTC/USD"]; !slices.Equal(got, market.AllChannels()) {
		t.Errorf("BTC/USD: got %v", got)
	}

	node := connectReady(t, Config{Servers: feed.Status().URL})
	r := run(t, node)
	got := []string{r.next(r.announced), r.next(r.announced)}
	slices.Sort(got)
	if want := []string{"BRK.B: trade,bar", "BTC/USD: trade,quote,bar"}; !slices.Equal(got, want) {
		t.Errorf("stored: got %q, want %q", got, want)
	}

	must(t, node.Subscribe(trade("NEW")))
	must(t, node.Sync(t.Context()))
	must(t, feed.Announce("NEW", []market.Channel{market.ChannelTrade}))
	must(t, feed.Publish(trade("NEW"), []byte("first")))
	if got := r.next(r.announced); got != "NEW: trade" {
		t.Errorf("live: got %q", got)
	}
	if got := r.next(r.messages); got != "trade NEW: first" {
		t.Errorf("got %q", got)
	}
}

func TestKnownIsSaidAfterTheLastStoredEntry(t *testing.T) {
	feed := connectReady(t, Config{Servers: Embedded, Listen: "127.0.0.1:0"})
	const symbols = 300
	for i := range symbols {
		must(t, feed.Announce(fmt.Sprint("S", i), market.AllChannels()))
	}
	eventually(t, "the directory is stored", func() bool {
		directory, err := feed.Symbols(t.Context())
		must(t, err)
		return len(directory) == symbols
	})
	node := connectReady(t, Config{Servers: feed.Status().URL})
	select {
	case <-node.Known():
		t.Fatal("known before anybody reads")
	default:
	}
	r := run(t, node)
	waitKnown(t, node)
	if n := len(r.announced); n < symbols {
		t.Errorf("%d symbols of %d are announced", n, symbols)
	}
}

// A directory that is read while announcements come in must never set back what they said.
func TestStoredEntryNeverReplacesANewerLiveOne(t *testing.T) {
	got := map[string]string{}
	r := &reader{ask: make(chan struct{}, 1), Handler: Handler{
		Announced: func(symbol string, channels []market.Channel) { got[symbol] = joinChannels(channels) },
	}}
	r.askDirectory()
	r.add(message(directorySubject("A"), "trade,quote"))
	r.stored(map[string][]market.Channel{"A": {market.ChannelTrade}, "B": {market.ChannelTrade}})
	if want := map[string]string{"A": "trade,quote", "B": "trade"}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	<-r.ask
	r.askDirectory() // what was live before this is older than its answer
	r.stored(map[string][]market.Channel{"A": {market.ChannelBar}})
	if got["A"] != "bar" {
		t.Errorf("second answer: got %q", got["A"])
	}
}

func TestEveryLegalSymbolTravels(t *testing.T) {
	b := connectReady(t, Config{Servers: Embedded})
	r := run(t, b)
	rapid.Check(t, func(rt *rapid.T) {
		s := market.Stream{Channel: rapid.SampledFrom(market.AllChannels()).Draw(rt, "channel"), Symbol: anySymbol().Draw(rt, "symbol")}
		must(t, b.Subscribe(s))
		defer b.Unsubscribe(s)
		must(t, b.Sync(t.Context()))
		must(t, b.Publish(s, []byte("x")))
		if got := r.next(r.messages); got != s.String()+": x" {
			rt.Fatalf("got %q for %q", got, s)
		}
		must(t, b.Announce(s.Symbol, nil))
		if got := r.next(r.announced); got != s.Symbol+": " {
			rt.Fatalf("got %q announced for %q", got, s.Symbol)
		}
	})
}

func TestIllegalSymbolIsRefused(t *testing.T) {
	b := connectReady(t, Config{Servers: Embedded})
	for name, err := range map[string]error{
		"publish":   b.Publish(trade(""), nil),
		"announce":  b.Announce(market.Wildcard, nil),
		"subscribe": b.Subscribe(trade("a\nb")),
	} {
		if !errors.Is(err, market.ErrSymbol) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := b.Publish(trade("A"), make([]byte, 2<<20)); err == nil {
		t.Error("2 MiB went through")
	}
}

func TestStreamsOfAnOperatorAreKept(t *testing.T) {
	first := connectReady(t, Config{Servers: Embedded, Listen: "127.0.0.1:0", HistoryPerStream: 7})
	second := connectReady(t, Config{Servers: first.Status().URL, HistoryPerStream: 9})
	stream, err := second.js.Stream(t.Context(), tradesStream)
	must(t, err)
	got := stream.CachedInfo().Config
	if got.MaxMsgsPerSubject != 7 || got.MaxBytes != 256<<20 || got.Storage != jetstream.MemoryStorage || got.Discard != jetstream.DiscardOld {
		t.Errorf("got %+v", got)
	}
}

func TestWithoutJetStreamLiveTicksStillWork(t *testing.T) {
	nats := newNATSProcess(t)
	nats.start()
	b := connectReady(t, Config{Servers: nats.url()})
	r := run(t, b)
	eventually(t, "Run has subscribed to the directory, which nobody stores", func() bool {
		b.subsMu.Lock()
		defer b.subsMu.Unlock()
		return b.subs[allDirectory] != nil
	})
	must(t, b.SubscribeAll(market.ChannelTrade))
	must(t, b.Sync(t.Context()))
	must(t, b.Announce("A", []market.Channel{market.ChannelTrade}))
	must(t, b.Publish(trade("A"), []byte("live")))
	if got := r.next(r.messages); got != "trade A: live" {
		t.Errorf("got %q", got)
	}
	if got := r.next(r.announced); got != "A: trade" {
		t.Errorf("got %q", got)
	}
	waitKnown(t, b) // nothing is stored that could be

	must(t, b.Last(t.Context(), []market.Stream{trade("A")}, func(market.Stream, []byte) { t.Error("yielded") }))
	_, symbolsErr := b.Symbols(t.Context())
	for name, err := range map[string]error{
		"history": b.History(t.Context(), trade("A"), time.Time{}, func([]byte) bool { t.Error("yielded"); return true }),
		"symbols": symbolsErr,
	} {
		if !errors.Is(err, ErrNoStore) {
			t.Errorf("%s: got %v, want ErrNoStore", name, err)
		}
	}
}

func TestClosedBusSaysSo(t *testing.T) {
	b := connectReady(t, Config{Servers: Embedded})
	ran := make(chan error, 1)
	go func() { ran <- b.Run(context.Background(), Handler{}) }()
	eventually(t, "Run has subscribed", func() bool {
		b.subsMu.Lock()
		defer b.subsMu.Unlock()
		return len(b.subs) == 1
	})
	if err := b.Run(t.Context(), Handler{}); !errors.Is(err, errRunning) {
		t.Errorf("a second Run beside the first: got %v, want errRunning", err)
	}
	b.Close()
	for name, err := range map[string]error{
		"run":       <-ran,
		"run again": b.Run(t.Context(), Handler{}),
		"ready":     b.Ready(t.Context()),
		"publish":   b.Publish(trade("A"), nil),
		"announce":  b.Announce("A", nil),
		"flush":     b.Flush(t.Context()),
		"subscribe": b.Subscribe(trade("A")),
		"last":      b.Last(t.Context(), []market.Stream{trade("A")}, nil),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", name, err)
		}
	}
	b.Unsubscribe(trade("A"))
	if b.Status().Connected {
		t.Error("closed and connected")
	}
}
