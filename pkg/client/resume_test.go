package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tickcast/tickcast/pkg/client"
	"github.com/tickcast/tickcast/pkg/stream"
)

// A ledger holds trade streams to the promise: from its snapshot on, each seq once.
type ledger struct {
	last   map[string]int64 // by symbol
	missed int64
	trades int
	why    map[client.Reason]int
}

func newLedger() *ledger {
	return &ledger{last: make(map[string]int64), why: make(map[client.Reason]int)}
}

// enter returns what an event breaks.
func (l *ledger) enter(ev client.Event) error {
	switch ev := ev.(type) {
	case client.Snapshot:
		if _, again := l.last[ev.Stream.Symbol]; again {
			return fmt.Errorf("a second snapshot: %+v", ev)
		}
		l.last[ev.Stream.Symbol] = 0
		if tr, ok := ev.Event.(client.Trade); ok {
			l.last[tr.Symbol] = tr.Seq
		}
	case client.Trade:
		if ev.Price != priceOf(ev.Seq) {
			return fmt.Errorf("%+v was not published", ev)
		}
		l.trades++
		return l.span(ev.Symbol, ev.Seq, ev.Seq)
	case client.Aggregate:
		return l.span(ev.Symbol, ev.FromSeq, ev.ToSeq)
	case client.Gap:
		l.why[ev.Reason]++
		l.missed += ev.To - ev.From + 1
		return l.span(ev.Stream.Symbol, ev.From, ev.To)
	default:
		return fmt.Errorf("unexpected %#v", ev)
	}
	return nil
}

func (l *ledger) span(symbol string, from, to int64) error {
	last, begun := l.last[symbol]
	if !begun || from != last+1 || to < from {
		return fmt.Errorf("%s: %d to %d comes after %d (begun: %v)", symbol, from, to, last, begun)
	}
	l.last[symbol] = to
	return nil
}

// follow enters events until every symbol has come as far as the venue has published.
func (l *ledger) follow(ctx context.Context, c *client.Client, v *venue) error {
	done := func() bool {
		for s, seq := range v.seqs {
			if s.Channel == client.ChannelTrade && l.last[s.Symbol] != seq {
				return false
			}
		}
		return true
	}
	if done() {
		return nil
	}
	for ev, err := range c.Events(ctx) {
		if err == nil {
			err = l.enter(ev)
		}
		if err != nil {
			return fmt.Errorf("%w; at %v of %v", err, l.last, v.seqs)
		}
		if done() {
			return nil
		}
	}
	return nil
}

// Whatever the link does, a program gets or hears of each trade once.
func TestALinkThatBreaksLosesAndDoublesNothing(t *testing.T) {
	symbols := []string{"A", "BTC/USD", "BRK.B", "ÖL"}
	v, n := open(t, stream.Config{BatchEvery: -1}, symbols...)
	other := v.node(stream.Config{BatchEvery: -1}) // any node can go on
	t.Cleanup(other.stop)
	v.announce(other, symbols...)
	r := newRelay(t, n)
	reconnects, resumed := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		most := rapid.Int64Range(300, 6000).Draw(rt, "most bytes of a connection")
		wild := rapid.Bool().Draw(rt, "by wildcard")
		policy := rapid.SampledFrom([]client.Policy{"", client.PolicyAggregate}).Draw(rt, "policy")
		rng := rand.New(rand.NewPCG(seed, 1))
		var told states
		opts := []client.Option{told.option()}
		if rapid.Bool().Draw(rt, "compressed") {
			opts = append(opts, client.WithCompression())
		}
		r.set(func() { r.after, r.target = nil, n.addr })
		c := dial(t, r.url, opts...)
		s := tradesOf(symbols...)
		if s.Policy = policy; wild {
			s.Symbols = []string{client.Wildcard}
		}
		subscribe(t, c, s)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		books := newLedger()
		for len(books.last) < len(symbols) {
			for ev, err := range c.Events(ctx) {
				if err = errors.Join(err, books.enter(ev)); err != nil {
					rt.Fatal(err)
				}
				break
			}
		}
		r.set(func() { // from now on most connections are short
			r.after = func() int64 {
				r.target = []string{n.addr, other.addr}[rng.IntN(2)]
				if rng.IntN(4) == 0 {
					return 1 << 20 // or what is due might never fit one
				}
				return 1 + rng.Int64N(most)
			}
		})
		r.cut()
		for range rapid.IntRange(3, 12).Draw(rt, "rounds") {
			for range rapid.IntRange(1, 4).Draw(rt, "messages") {
				symbol := rapid.SampledFrom(symbols).Draw(rt, "symbol")
				v.trades(symbol, rapid.IntRange(1, 20).Draw(rt, "trades"))
			}
			if rapid.IntRange(0, 3).Draw(rt, "cut") == 0 {
				r.cut()
			}
			if rapid.Bool().Draw(rt, "follow") {
				if err := books.follow(ctx, c, v); err != nil {
					rt.Fatal(err)
				}
			}
		}
		r.set(func() { r.after = nil })
		if err := books.follow(ctx, c, v); err != nil {
			rt.Fatal(err)
		}
		if books.why[client.ReasonUnexplained] > 0 {
			rt.Errorf("gaps that no node told: %v", books.why)
		}
		reconnects += len(told.have(client.StateReconnecting, nil))
		resumed += books.trades
		c.Close()
	})
	if reconnects == 0 || resumed == 0 {
		t.Errorf("%d reconnects, %d trades: the link never broke", reconnects, resumed)
	}
	t.Logf("%d reconnects, %d trades", reconnects, resumed)
}

// Requests made while the link is down, or that it swallows, are carried out on the next.
func TestRequestsOutliveTheLink(t *testing.T) {
	v, n := open(t, stream.Config{}, "A", "B", "C")
	r := newRelay(t, n)
	c := dial(t, r.url)
	subscribe(t, c, tradesOf("A", "C"))
	next[client.Snapshot](t, c)
	next[client.Snapshot](t, c)

	r.mute() // the request arrives, its answer does not
	asked := make(chan error, 2)
	go func() { asked <- c.Subscribe(context.Background(), tradesOf("B")) }()
	go func() {
		asked <- c.Unsubscribe(context.Background(), []client.Channel{client.ChannelTrade}, "C")
	}()
	r.cut()
	for range 2 {
		if err := <-asked; err != nil {
			t.Fatal(err)
		}
	}
	v.trades("C", 1)
	v.trades("B", 1)
	v.trades("A", 1)
	got := map[string]int64{}
	read(t, c, "trades of A and B", func(ev client.Event) bool {
		if s, ok := ev.(client.Snapshot); ok {
			ev = s.Event // B's may be as late as its trade
		}
		if tr, ok := ev.(client.Trade); ok {
			got[tr.Symbol] = tr.Seq
		}
		return got["A"] == 1 && got["B"] == 1
	})
	if got["C"] != 0 {
		t.Error("C was unsubscribed, and came")
	}
}

func TestAnExceptionUnderAWildcardOutlivesTheLink(t *testing.T) {
	v, n := open(t, stream.Config{}, "A", "B")
	r := newRelay(t, n)
	c := dial(t, r.url)
	subscribe(t, c, tradesOf(client.Wildcard))
	next[client.Snapshot](t, c)
	next[client.Snapshot](t, c)
	if err := c.Unsubscribe(t.Context(), []client.Channel{client.ChannelTrade}, "A"); err != nil {
		t.Fatal(err)
	}
	r.cut()
	v.trades("A", 1)
	v.trades("B", 1)
	if tr := next[client.Trade](t, c); tr.Symbol != "B" {
		t.Errorf("got %+v, want a trade of B", tr)
	}
}

// Quotes are conflated: across a reconnect the latest comes, once.
func TestTheLatestQuoteComesAfterAReconnect(t *testing.T) {
	v, n := open(t, stream.Config{}, "A")
	r := newRelay(t, n)
	var told states
	c := dial(t, r.url, told.option())
	s := tradesOf("A")
	s.Channels = []client.Channel{client.ChannelQuote}
	subscribe(t, c, s)
	next[client.Snapshot](t, c)
	v.quote("A")
	if q := next[client.Quote](t, c); q.Seq != 1 {
		t.Fatalf("got %+v", q)
	}
	r.set(func() { r.target = "127.0.0.1:1" })
	r.cut()
	v.quote("A")
	v.quote("A")
	r.set(func() { r.target = n.addr })
	if q := next[client.Quote](t, c); q.Seq != 3 {
		t.Errorf("got %+v, want seq 3", q)
	}
	before := len(told.have(client.StateConnected, nil))
	r.cut()
	await(t, "another connection", func() bool { return len(told.have(client.StateConnected, nil)) > before })
	v.quote("A")
	if q := next[client.Quote](t, c); q.Seq != 4 {
		t.Errorf("got %+v, want seq 4: the third is known", q)
	}
}

// A node that has just started, and has not heard of every symbol yet, is asked again.
func TestAStreamThatANewNodeDoesNotKnowYetComesBack(t *testing.T) {
	v, n := open(t, stream.Config{}, "A", "B")
	r := newRelay(t, n)
	var told states
	c := dial(t, r.url, told.option())
	subscribe(t, c, tradesOf("A", "B"))
	next[client.Snapshot](t, c)
	next[client.Snapshot](t, c)
	v.trades("A", 1)
	next[client.Trade](t, c)

	young := openVenue()
	t.Cleanup(young.Close)
	young.seqs = v.seqs // a restarted feed carries on
	fresh := young.node(stream.Config{})
	t.Cleanup(fresh.stop)
	young.announce(fresh, "B")
	r.set(func() { r.target = fresh.addr })
	r.cut()
	await(t, "the new node", func() bool { return len(told.have(client.StateConnected, nil)) > 1 })
	young.announce(fresh, "A", "B")
	books := newLedger()
	books.last = map[string]int64{"A": 1, "B": 0}
	for range 3 {
		young.trades("A", 1)
		young.trades("B", 1)
		if err := books.follow(t.Context(), c, young); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADrainingNodeIsLeftForAsLongAsItAsks(t *testing.T) {
	v, n := open(t, stream.Config{}, "A")
	other := v.node(stream.Config{})
	t.Cleanup(other.stop)
	v.announce(other, "A")
	r := newRelay(t, n)
	var told states
	c := dial(t, r.url, told.option())
	subscribe(t, c, tradesOf("A"))
	next[client.Snapshot](t, c)
	v.trades("A", 1)
	next[client.Trade](t, c)
	r.set(func() { r.target = other.addr })
	n.Drain(t.Context(), 10*time.Millisecond)
	v.trades("A", 1)
	if tr := next[client.Trade](t, c); tr.Seq != 2 {
		t.Errorf("got %+v, want seq 2", tr)
	}
	left := told.have(client.StateReconnecting, client.ErrUnavailable)
	if len(left) != 1 {
		t.Fatalf("want one goodbye, got %+v", told.all)
	}
	var e *client.Error
	if !errors.As(left[0].Err, &e) || e.Code != 1012 || e.RetryAfter <= 0 || left[0].Pause < e.RetryAfter {
		t.Errorf("pause %s after %+v", left[0].Pause, e)
	}
}

// More streams than a request can name are resumed all the same.
func TestManyStreamsAreResumed(t *testing.T) {
	var symbols []string
	for i := range 2500 {
		symbols = append(symbols, fmt.Sprintf("A SYMBOL WITH A LONG NAME THAT MAKES REQUESTS BIG %04d", i))
	}
	v, n := open(t, stream.Config{MaxSymbols: len(symbols)}, symbols...)
	for _, tt := range []struct {
		name string
		s    client.Subscription
	}{{"by name", tradesOf(symbols...)}, {"by wildcard", tradesOf(client.Wildcard)}} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRelay(t, n)
			c := dial(t, r.url)
			subscribe(t, c, tt.s)
			books := newLedger()
			read(t, c, "every snapshot", func(ev client.Event) bool {
				if err := books.enter(ev); err != nil {
					t.Fatal(err)
				}
				return len(books.last) == len(symbols)
			})
			r.set(func() { r.target = "127.0.0.1:1" })
			r.cut()
			for s := range slices.Values(symbols) {
				v.trades(s, 1)
			}
			r.set(func() { r.target = n.addr })
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := books.follow(ctx, c, v); err != nil {
				t.Fatal(err)
			}
			if books.trades != len(symbols) || books.missed > 0 {
				t.Errorf("%d trades, %d missed, want %d and none", books.trades, books.missed, len(symbols))
			}
		})
	}
}
