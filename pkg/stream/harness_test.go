package stream_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/tickcast/tickcast/internal/certtest"
	"github.com/tickcast/tickcast/internal/uplink"
	"github.com/tickcast/tickcast/internal/waiting"
	"github.com/tickcast/tickcast/pkg/bus"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/eventloop"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

// engine and secure are what every rig runs on: the whole suite runs once over each pair.
var (
	engine string
	secure bool
)

func TestMain(m *testing.M) {
	for _, engine = range stream.Engines() {
		for _, secure = range []bool{false, true} {
			fmt.Println("engine", engine, "TLS", secure)
			if code := m.Run(); code != 0 || fuzzing() {
				os.Exit(code)
			}
		}
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// fuzzing says that inputs are made, which once is enough for: no target depends on the rig.
func fuzzing() bool { return flag.Lookup("test.fuzz").Value.String() != "" }

// patience is how long a test waits for what must happen; nothing waits that long.
const patience = 20 * time.Second

// A rig is a node on a real embedded NATS, with a publisher.
type rig struct {
	t      *testing.T
	bus    *bus.Bus
	node   *stream.Node
	up     *watched
	url    string // ws:// or wss://
	cancel context.CancelFunc
	ran    chan error // what Run returned
	seqs   map[market.Stream]int64
}

func newBus(t testing.TB) *bus.Bus {
	t.Helper()
	return newBusWith(t, bus.Config{})
}

func newBusWith(t testing.TB, cfg bus.Config) *bus.Bus {
	t.Helper()
	if cfg.Log = zaptest.NewLogger(t); cfg.Servers == "" {
		cfg.Servers, cfg.Listen = bus.Embedded, "127.0.0.1:0"
	}
	b, err := bus.Connect(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return b
}

// newRigBeside makes a second node, with a connection of its own to the same NATS, and waits
// until it has heard of the symbols.
func newRigBeside(t *testing.T, b *bus.Bus, cfg stream.Config, symbols ...string) *rig {
	t.Helper()
	r := newRigOn(t, newBusWith(t, bus.Config{Servers: b.Status().URL}), cfg)
	for _, symbol := range symbols {
		r.await(symbol+" to be known", func() bool {
			status, _ := r.fetch("/v1/snapshot?symbols=" + symbol)
			return status == http.StatusOK
		})
	}
	return r
}

func newRig(t *testing.T, cfg stream.Config) *rig {
	t.Helper()
	return newRigOn(t, newBus(t), cfg)
}

func newRigOn(t *testing.T, b *bus.Bus, cfg stream.Config) *rig {
	t.Helper()
	return newRigListening(t, b, cfg, eventloop.ListenConfig{})
}

func newRigListening(t *testing.T, b *bus.Bus, cfg stream.Config, listen eventloop.ListenConfig) *rig {
	t.Helper()
	if cfg.Engine == "" {
		cfg.Engine = engine
	}
	if cfg.PageRequestsPerSecond == 0 {
		cfg.PageRequestsPerSecond = 1_000_000 // tests look at pages all the time
	}
	if cfg.Log == nil {
		cfg.Log = zaptest.NewLogger(t)
	}
	r := &rig{t: t, bus: b, up: &watched{Uplink: uplink.Uplink{Bus: b}, subs: map[string]bool{}}, seqs: map[market.Stream]int64{}}
	var err error
	if r.node, err = stream.New(cfg, r.up); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	r.node.Register(mux)
	r.node.RegisterAdmin(mux)
	scheme := "ws://"
	if secure {
		scheme, listen.TLS = "wss://", serverTLS(t)
	}
	ln, err := eventloop.Listen("127.0.0.1:0", listen)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: patience, MaxHeaderBytes: 16 << 10, ErrorLog: log.New(io.Discard, "", 0)}
	r.node.Attach(server)
	early, err := r.node.Early(ln)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(early) }()
	r.url = scheme + ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.ran = make(chan error, 1)
	go func() { r.ran <- r.node.Run(ctx) }()
	t.Cleanup(func() {
		r.stop()
		_ = server.Close()
		pages.CloseIdleConnections()
	})
	return r
}

// stop ends the node, once or again.
func (r *rig) stop() {
	r.t.Helper()
	r.cancel()
	select {
	case err := <-r.ran:
		if err != nil {
			r.t.Error(err)
		}
		r.ran <- nil
	case <-time.After(patience):
		r.t.Error("the node does not stop")
	}
}

// sessions reads /v1/sessions.
func (r *rig) sessions() (rows []struct {
	Remote       string `json:"remote"`
	WaitingBytes int    `json:"waiting_bytes"`
}) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.get("/v1/sessions")), &rows); err != nil {
		r.t.Fatal(err)
	}
	return rows
}

var serverTLS = func() func(t testing.TB) *tls.Config {
	var once sync.Once
	var pair tls.Certificate
	return func(t testing.TB) *tls.Config {
		once.Do(func() { pair = certtest.Pair(t, "node") })
		return &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}, DynamicRecordSizingDisabled: true}
	}
}()

var (
	clientTLS = &tls.Config{InsecureSkipVerify: true}
	pages     = &http.Client{Transport: &http.Transport{TLSClientConfig: clientTLS}}
)

// announce makes the symbols known and waits until the node has heard of them.
func (r *rig) announce(symbols ...string) {
	r.t.Helper()
	for _, s := range symbols {
		if err := r.bus.Announce(s, market.AllChannels()); err != nil {
			r.t.Fatal(err)
		}
	}
	r.await("the symbols to be known", func() bool {
		body := r.get("/v1/symbols")
		for _, s := range symbols {
			if !strings.Contains(body, fmt.Sprintf("%q", s)) {
				return false
			}
		}
		return true
	})
}

// trade publishes the symbol's next trade and returns its seq.
func (r *rig) trade(symbol string) int64 {
	r.t.Helper()
	return r.trades(symbol, 1)
}

// trades publishes n trades as one message and returns the last seq.
func (r *rig) trades(symbol string, n int) int64 {
	r.t.Helper()
	s := market.Stream{Channel: market.ChannelTrade, Symbol: symbol}
	var body []byte
	for range n {
		r.seqs[s]++
		body = appendTrade(r.t, body, symbol, r.seqs[s])
	}
	r.publish(s, body)
	return r.seqs[s]
}

// quote publishes the symbol's next quote and returns its seq.
func (r *rig) quote(symbol string) int64 {
	r.t.Helper()
	s := market.Stream{Channel: market.ChannelQuote, Symbol: symbol}
	r.seqs[s]++
	body, err := codec.AppendQuote(nil, &market.Quote{Symbol: symbol, Seq: r.seqs[s], Time: 1, BidPrice: 1, BidSize: 2, AskPrice: 3, AskSize: 4})
	if err != nil {
		r.t.Fatal(err)
	}
	r.publish(s, body)
	return r.seqs[s]
}

func (r *rig) publish(s market.Stream, body []byte) {
	r.t.Helper()
	if err := r.bus.Publish(s, body); err != nil {
		r.t.Fatal(err)
	}
	if err := r.bus.Flush(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func appendTrade(t *testing.T, dst []byte, symbol string, seq int64) []byte {
	t.Helper()
	dst, err := codec.AppendTrade(dst, &market.Trade{Symbol: symbol, Seq: seq, Time: seq * 1000, Price: float64(seq) + 0.25, Size: 1, Side: market.SideBuy, ID: fmt.Sprint(seq)})
	if err != nil {
		t.Fatal(err)
	}
	return dst
}

func (r *rig) get(path string) string {
	r.t.Helper()
	_, body := r.fetch(path)
	return body
}

func (r *rig) fetch(path string) (status int, body string) {
	r.t.Helper()
	resp, err := pages.Get("http" + strings.TrimPrefix(r.url, "ws") + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := resp.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return resp.StatusCode, b.String()
		}
	}
}

func (r *rig) await(what string, ok func() bool) {
	r.t.Helper()
	await(r.t, what, ok)
}

var await = waiting.For

// bothEncodings runs the test for each.
func bothEncodings(t *testing.T, f func(t *testing.T, enc codec.Encoding)) {
	for _, enc := range []codec.Encoding{codec.MsgPack, codec.JSON} {
		t.Run(enc.String(), func(t *testing.T) { f(t, enc) })
	}
}
