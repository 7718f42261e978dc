package client_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/client"
	"github.com/tickcast/tickcast/pkg/stream"
)

func TestEventsAreTyped(t *testing.T) {
	v, n := open(t, stream.Config{}, "AAPL")
	v.trades("AAPL", 2)
	for _, opts := range [][]client.Option{nil, {client.WithCompression()}} {
		c := dial(t, n.url, opts...)
		subscribe(t, c, client.Subscription{Channels: []client.Channel{client.ChannelTrade, client.ChannelQuote}, Symbols: []string{"AAPL"}})
		snapshots := map[client.Channel]client.Event{}
		for range 2 {
			s := next[client.Snapshot](t, c)
			snapshots[s.Stream.Channel] = s.Event
		}
		last := v.seqs[client.Stream{Symbol: "AAPL"}]
		if tr, ok := snapshots[client.ChannelTrade].(client.Trade); !ok || tr.Seq != last || tr.Price != priceOf(last) {
			t.Errorf("snapshot of trades: %+v, want seq %d", snapshots[client.ChannelTrade], last)
		}
		v.trades("AAPL", 1)
		if tr := next[client.Trade](t, c); tr.Seq != last+1 || tr.Side != client.SideBuy {
			t.Errorf("got %+v, want seq %d", tr, last+1)
		}
		v.quote("AAPL")
		if q := next[client.Quote](t, c); q.BidPrice != 99 || q.AskSize != 4 {
			t.Errorf("got %+v", q)
		}
		c.Close()
	}
}

func TestRejectedSymbolsAreNamedAndTheOthersSubscribed(t *testing.T) {
	v, n := open(t, stream.Config{MaxSymbols: 2}, "A", "B", "C")
	c := dial(t, n.url)
	err := c.Subscribe(t.Context(), tradesOf("A", "NOPE", "B", "C"))
	var rejected *client.RejectedError
	if !errors.As(err, &rejected) || len(rejected.Symbols) != 2 {
		t.Fatalf("got %v, want two symbols rejected", err)
	}
	for symbol, want := range map[string]error{"NOPE": client.ErrUnknownSymbol, "C": client.ErrTooManySymbols} {
		if !errors.Is(err, want) || !errors.Is(rejected.Symbols[symbol], want) {
			t.Errorf("%v does not say of %s: %v", err, symbol, want)
		}
	}
	const text = "client: rejected: C (too many symbols), NOPE (unknown symbol)"
	if err.Error() != text {
		t.Errorf("got %q, want %q", err, text)
	}
	for range 2 {
		next[client.Snapshot](t, c)
	}
	v.trades("A", 1)
	next[client.Trade](t, c)
}

func TestRefusedRequestsAreErrors(t *testing.T) {
	_, n := open(t, stream.Config{}, "A")
	c := dial(t, n.url)
	trade := []client.Channel{client.ChannelTrade}
	for _, tt := range []struct {
		name string
		s    client.Subscription
	}{
		{"no symbols", client.Subscription{Channels: trade}},
		{"no channels", client.Subscription{Symbols: []string{"A"}}},
		{"no such channel", client.Subscription{Channels: []client.Channel{9}, Symbols: []string{"A"}}},
		{"a wildcard among names", tradesOf("A", client.Wildcard)},
		{"no such policy", client.Subscription{Channels: trade, Symbols: []string{"A"}, Policy: "pray"}},
		{"a policy that the channel does not have", client.Subscription{Channels: trade, Symbols: []string{"A"}, Policy: client.PolicyConflate}},
		{"an interval too short to say", client.Subscription{Channels: trade, Symbols: []string{"A"}, Interval: time.Microsecond}},
		{"an interval too long", client.Subscription{Channels: trade, Symbols: []string{"A"}, Interval: time.Hour}},
		{"a negative seq", client.Subscription{Channels: trade, Symbols: []string{"A"}, After: map[client.Stream]int64{{Symbol: "A"}: -1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var e *client.Error
			if err := c.Subscribe(t.Context(), tt.s); !errors.As(err, &e) || !errors.Is(err, client.ErrBadRequest) || e.Message == "" {
				t.Errorf("got %v, want a bad request", err)
			}
		})
	}
	subscribe(t, c, tradesOf("A")) // the connection lives on
}

func TestNothingIsKnownYet(t *testing.T) {
	v := openVenue()
	t.Cleanup(v.Close)
	n := v.node(stream.Config{})
	t.Cleanup(n.stop)
	c := dial(t, n.url)
	if err := c.Subscribe(t.Context(), tradesOf("A")); !errors.Is(err, client.ErrNoUpstream) {
		t.Errorf("got %v, want no upstream data", err)
	}
}

func TestUnsubscribeEndsStreams(t *testing.T) {
	v, n := open(t, stream.Config{}, "A", "B")
	c := dial(t, n.url)
	trade := []client.Channel{client.ChannelTrade}
	ends := func(symbols ...string) {
		t.Helper()
		if err := c.Unsubscribe(t.Context(), trade, symbols...); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Unsubscribe(t.Context(), trade); !errors.Is(err, client.ErrBadRequest) {
		t.Errorf("nothing to end: %v", err)
	}
	for _, all := range [][]string{{"A", "B"}, {client.Wildcard}} {
		subscribe(t, c, tradesOf(all...))
		next[client.Snapshot](t, c)
		next[client.Snapshot](t, c)
		ends("A", "unknown")
		v.trades("A", 1)
		v.trades("B", 1)
		if tr := next[client.Trade](t, c); tr.Symbol != "B" {
			t.Errorf("got %+v, want a trade of B alone", tr)
		}
		ends(client.Wildcard)
		v.trades("B", 1)
	}
	subscribe(t, c, tradesOf("B")) // begins anew
	next[client.Snapshot](t, c)
}

func TestAfterGoesOnWhereAnEarlierRunEnded(t *testing.T) {
	v, n := open(t, stream.Config{}, "A")
	first := dial(t, n.url)
	subscribe(t, first, tradesOf("A"))
	next[client.Snapshot](t, first)
	v.trades("A", 5) // one message, which the node still has
	read(t, first, "the trades", func(ev client.Event) bool { return ev.(client.Trade).Seq == 5 })

	c := dial(t, n.url)
	s := tradesOf("A")
	s.After = map[client.Stream]int64{{Channel: client.ChannelTrade, Symbol: "A"}: 2}
	subscribe(t, c, s)
	for _, want := range []int64{3, 4, 5} {
		if tr := next[client.Trade](t, c); tr.Seq != want {
			t.Errorf("got seq %d, want %d", tr.Seq, want)
		}
	}
}

func TestStatsComeAmongTheEvents(t *testing.T) {
	v, n := open(t, stream.Config{}, "A")
	r := newRelay(t, n)
	c := dial(t, r.url)
	subscribe(t, c, tradesOf("A"))
	next[client.Snapshot](t, c)
	if err := c.Stats(t.Context(), 10*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	isStat := func(ev client.Event) bool { _, ok := ev.(client.Stat); return ok }
	read(t, c, "a stat", isStat)
	r.cut()
	v.trades("A", 1)
	seen := false
	read(t, c, "a stat behind the trade that came after a reconnect", func(ev client.Event) bool {
		tr, ok := ev.(client.Trade)
		seen = seen || ok && tr.Seq == 1
		return seen && isStat(ev)
	})
}

func TestContextsEndWhatTheyWereGivenTo(t *testing.T) {
	_, n := open(t, stream.Config{}, "A")
	r := newRelay(t, n)
	c := dial(t, r.url)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		for _, err := range c.Events(ctx) {
			ended <- err
		}
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the loop ends with %v", err)
	}

	// A request whose context ends is not asked later.
	r.set(func() { r.target = "127.0.0.1:1" })
	r.cut()
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Subscribe(ctx, tradesOf("A")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Subscribe without a node: %v", err)
	}
	asked := make(chan error, 1)
	go func() { asked <- c.Subscribe(context.Background(), tradesOf("A")) }()
	c.Close()
	if err := <-asked; !errors.Is(err, client.ErrClosed) {
		t.Errorf("Subscribe of a closed client: %v", err)
	}
	for ev, err := range c.Events(t.Context()) {
		if ev != nil || !errors.Is(err, client.ErrClosed) {
			t.Errorf("a closed client yields %v, %v", ev, err)
		}
	}
}

func TestALoopGoesOnWhereTheLastBrokeOff(t *testing.T) {
	v, n := open(t, stream.Config{}, "A")
	c := dial(t, n.url)
	subscribe(t, c, tradesOf("A"))
	next[client.Snapshot](t, c)
	v.trades("A", 4)
	var seqs []int64
	for range 4 { // each next is a loop of its own
		seqs = append(seqs, next[client.Trade](t, c).Seq)
	}
	if want := []int64{1, 2, 3, 4}; !reflect.DeepEqual(seqs, want) {
		t.Errorf("got %v, want %v", seqs, want)
	}
}

func TestPages(t *testing.T) {
	v, n := open(t, stream.Config{}, "A", "BTC/USD")
	v.trades("BTC/USD", 3)
	known, err := client.Symbols(t.Context(), n.url)
	if err != nil {
		t.Fatal(err)
	}
	all := []client.Channel{client.ChannelTrade, client.ChannelQuote, client.ChannelBar}
	if want := []client.Listing{{Symbol: "A", Channels: all}, {Symbol: "BTC/USD", Channels: all}}; !reflect.DeepEqual(known, want) {
		t.Errorf("got %v, want %v", known, want)
	}
	await(t, "the trade to be stored", func() bool {
		events, err := client.Snapshots(t.Context(), n.url, all, []string{"BTC/USD", "NOPE"})
		if err != nil {
			t.Fatal(err)
		}
		return len(events) == 1 && events[0].(client.Trade).Seq == 3
	})
	if _, err := client.Snapshots(t.Context(), n.url, all, []string{"NOPE"}); !errors.Is(err, client.ErrUnknownSymbol) {
		t.Errorf("got %v, want an unknown symbol", err)
	}
}
