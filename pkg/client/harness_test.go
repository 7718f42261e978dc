package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tickcast/tickcast/internal/uplink"
	"github.com/tickcast/tickcast/internal/waiting"
	"github.com/tickcast/tickcast/pkg/bus"
	"github.com/tickcast/tickcast/pkg/client"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen; nothing waits that long.
const patience = 30 * time.Second

var await = waiting.For

// A venue is an embedded NATS and what publishes there.
type venue struct {
	*bus.Bus
	seqs map[market.Stream]int64
}

func openVenue() *venue {
	return &venue{Bus: openBus(bus.Config{Servers: bus.Embedded, Listen: "127.0.0.1:0"}), seqs: make(map[market.Stream]int64)}
}

func openBus(cfg bus.Config) *bus.Bus {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := bus.Connect(ctx, cfg)
	if err == nil {
		err = b.Ready(ctx)
	}
	must(err)
	return b
}

// must is for what examples and tests need to be there.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func priceOf(seq int64) float64 { return 100 + float64(seq)/100 }

// trades publishes the symbol's next n trades in one message.
func (v *venue) trades(symbol string, n int) {
	s := market.Stream{Channel: market.ChannelTrade, Symbol: symbol}
	var body []byte
	var err error
	for range n {
		v.seqs[s]++
		seq := v.seqs[s]
		body, err = codec.AppendTrade(body, &market.Trade{Symbol: symbol, Seq: seq, Time: seq, Price: priceOf(seq), Size: 1, Side: market.SideBuy})
		must(err)
	}
	must(v.Publish(s, body))
	must(v.Flush(context.Background()))
}

func (v *venue) quote(symbol string) {
	s := market.Stream{Channel: market.ChannelQuote, Symbol: symbol}
	v.seqs[s]++
	body, err := codec.AppendQuote(nil, &market.Quote{Symbol: symbol, Seq: v.seqs[s], Time: 1, BidPrice: 99, BidSize: 2, AskPrice: 101, AskSize: 4})
	must(err)
	must(v.Publish(s, body))
	must(v.Flush(context.Background()))
}

// A node is a streamer in this process.
type node struct {
	*stream.Node
	addr string // host:port
	url  string // of its stream
	stop func() // once or more
}

func (v *venue) node(cfg stream.Config) *node {
	b := openBus(bus.Config{Servers: v.Status().URL})
	cfg.PageRequestsPerSecond = 1_000_000 // tests look at pages all the time
	n := &node{}
	var err error
	n.Node, err = stream.New(cfg, uplink.Uplink{Bus: b})
	must(err)
	mux := http.NewServeMux()
	n.Register(mux)
	n.RegisterAdmin(mux)
	server := httptest.NewServer(mux)
	n.addr = strings.TrimPrefix(server.URL, "http://")
	n.url = "ws://" + n.addr + "/v1/stream"
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		must(<-done)
		server.Close()
		b.Close()
	})
	return n
}

// announce makes symbols known to the venue, and waits until the node has heard of them.
func (v *venue) announce(n *node, symbols ...string) {
	for _, s := range symbols {
		must(v.Announce(s, market.AllChannels()))
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		known, err := client.Symbols(context.Background(), n.url)
		must(err)
		if len(known) >= len(symbols) {
			return
		}
		if time.Now().After(deadline) {
			panic("the symbols do not become known")
		}
	}
}

// open starts a venue and a node that knows the symbols, for as long as the test.
func open(t testing.TB, cfg stream.Config, symbols ...string) (*venue, *node) {
	t.Helper()
	v := openVenue()
	t.Cleanup(v.Close)
	n := v.node(cfg)
	t.Cleanup(n.stop)
	v.announce(n, symbols...)
	return v, n
}

// quick makes reconnects prompt.
func quick() client.Option { return client.WithBackoff(time.Millisecond, 20*time.Millisecond) }

func dial(t testing.TB, url string, opts ...client.Option) *client.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := client.Dial(ctx, url, append([]client.Option{quick()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func subscribe(t testing.TB, c *client.Client, s client.Subscription) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Subscribe(ctx, s); err != nil {
		t.Fatal(err)
	}
}

func tradesOf(symbols ...string) client.Subscription {
	return client.Subscription{Channels: []client.Channel{client.ChannelTrade}, Symbols: symbols}
}

// read takes events until enough says so, and returns them.
func read(t testing.TB, c *client.Client, what string, enough func(client.Event) bool) (all []client.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ev, err := range c.Events(ctx) {
		if err != nil {
			t.Fatalf("waiting for %s: %v; so far %v", what, err, tail(all))
		}
		if all = append(all, ev); enough(ev) {
			return all
		}
	}
	panic("a loop over events ended without an error")
}

func tail(all []client.Event) []client.Event { return all[max(0, len(all)-20):] }

// next returns the next event, which must be a T.
func next[T any](t testing.TB, c *client.Client) T {
	t.Helper()
	got := read(t, c, fmt.Sprintf("a %T", *new(T)), func(client.Event) bool { return true })[0]
	want, ok := got.(T)
	if !ok {
		t.Fatalf("got %#v, want a %T", got, want)
	}
	return want
}

// states gathers what a client tells of itself.
type states struct {
	mu  sync.Mutex
	all []client.StateChange
}

func (s *states) option() client.Option {
	return client.WithStateFunc(func(c client.StateChange) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all = append(s.all, c)
	})
}

// have returns the changes to a state, with an error that is target unless that is nil.
func (s *states) have(state client.State, target error) (found []client.StateChange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.all {
		if c.State == state && (target == nil || errors.Is(c.Err, target)) {
			found = append(found, c)
		}
	}
	return found
}

// A relay passes connections on to a target, until it is told otherwise.
type relay struct {
	listener net.Listener
	target   string
	url      string

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	narrow bool         // the kernel is to hide little of what a slow client does not take
	after  func() int64 // how many bytes a new connection brings down before it is cut; nil for all
	count  int          // connections so far
	muted  int          // what the first so many would bring down is dropped
	wg     sync.WaitGroup
}

func newRelay(t testing.TB, n *node) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startRelay(t, n, l, "ws://"+l.Addr().String()+"/v1/stream")
}

func startRelay(t testing.TB, n *node, l net.Listener, url string) *relay {
	r := &relay{listener: l, target: n.addr, url: url, conns: make(map[net.Conn]struct{})}
	r.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() { r.pass(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.cut()
		r.wg.Wait()
	})
	return r
}

func (r *relay) pass(near net.Conn) {
	defer near.Close()
	r.mu.Lock()
	r.count++
	number, target, left := r.count, r.target, int64(1)<<62
	if r.after != nil {
		left = r.after()
	}
	r.mu.Unlock()
	far, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer far.Close()
	r.mu.Lock()
	if r.narrow {
		_ = far.(*net.TCPConn).SetReadBuffer(4096)
	}
	r.conns[near] = struct{}{}
	r.mu.Unlock()
	up := make(chan struct{})
	go func() {
		defer close(up)
		pump(far, near, func(n int) int { return n })
		_ = far.Close()
	}()
	pump(near, far, func(n int) int {
		r.mu.Lock()
		defer r.mu.Unlock()
		if number <= r.muted {
			return 0
		}
		n = int(min(int64(n), left))
		if left -= int64(n); left == 0 {
			return -n
		}
		return n
	})
	_ = near.Close()
	<-up
	r.mu.Lock()
	delete(r.conns, near)
	r.mu.Unlock()
}

// pump copies until an end; allow says how much of a piece passes, negative for the last.
func pump(to, from net.Conn, allow func(n int) int) {
	var buf [4096]byte
	for {
		n, err := from.Read(buf[:])
		pass := allow(n)
		if _, werr := to.Write(buf[:max(pass, -pass)]); werr != nil || pass < 0 || err != nil {
			return
		}
	}
}

// mute drops what the connections that are open now would bring down.
func (r *relay) mute() { r.set(func() { r.muted = r.count }) }

// cut ends every connection.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		_ = c.Close()
	}
}

func (r *relay) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}
