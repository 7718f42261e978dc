package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/alecthomas/kong"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/tickcast/tickcast/bench/internal/fleet"
	"github.com/tickcast/tickcast/bench/internal/floor"
	"github.com/tickcast/tickcast/bench/internal/rival"
	"github.com/tickcast/tickcast/bench/internal/tape"
	"github.com/tickcast/tickcast/internal/uplink"
	"github.com/tickcast/tickcast/internal/waiting"
	"github.com/tickcast/tickcast/pkg/bus"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/feed"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

// patience bounds every wait. It is reached only when something is broken.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	// A load of several processes, and a contest, start this program again.
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/tickcast/tickcast/bench/internal/host.init.func1.1"))
}

// A rig is a node with a feed in this process.
type rig struct {
	url  string
	node *stream.Node
	feed *feed.Feed
}

// newRig returns one that knows the benchmark's market of 20 symbols. start is a method of
// httptest.Server.
func newRig(t *testing.T, source feed.Source, cfg stream.Config, start func(*httptest.Server)) *rig {
	t.Helper()
	b, err := bus.Connect(t.Context(), bus.Config{Servers: bus.Embedded})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	ready, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.Ready(ready); err != nil {
		t.Fatal(err)
	}
	cfg.Log, cfg.PageRequestsPerSecond = zap.NewNop(), 1_000_000 // tests look at pages all the time
	n, err := stream.New(cfg, uplink.Uplink{Bus: b})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- n.Run(ctx) }()
	f := feed.New(source, b, feed.Config{}, zap.NewNop())
	go func() { done <- f.Run(ctx) }()
	mux := http.NewServeMux()
	n.Register(mux)
	server := httptest.NewUnstartedServer(mux)
	start(server)
	t.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		server.Close()
	})
	r := &rig{url: strings.Replace(server.URL, "http", "ws", 1) + "/v1/stream", node: n, feed: f}
	l := &load{URL: r.url, Insecure: true}
	await(t, "the node to hear of the market", func() bool {
		names, err := l.fetchSymbols(t.Context())
		return err == nil && len(names) == 20
	})
	return r
}

func steady(rate float64) feed.Source { return &tape.Source{Symbols: tape.Symbols(20), Rate: rate} }

var await = waiting.For

// A manual source trades when it is told to: so many rounds of every symbol.
type manual chan int

func (manual) Live() bool { return true }

func (m manual) Run(ctx context.Context, sink feed.Sink) error {
	symbols := tape.Symbols(20)
	var all []feed.Instrument
	for _, name := range symbols {
		all = append(all, feed.Instrument{Symbol: name, Channels: []market.Channel{market.ChannelTrade}})
	}
	sink.Announce(all...)
	for {
		select {
		case <-ctx.Done():
			return nil
		case rounds := <-m:
			for range rounds {
				for _, name := range symbols {
					sink.Trade(&market.Trade{Symbol: name, Time: time.Now().UnixNano(), Price: 1, Size: 1})
				}
			}
		}
	}
}

// options parses a command line into a command, as main does.
func options[C any](t *testing.T, args ...string) *C {
	t.Helper()
	var cli struct {
		C C `embed:""`
	}
	k, err := kong.New(&cli)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Parse(args); err != nil {
		t.Fatal(err)
	}
	return &cli.C
}

func measure(t *testing.T, args ...string) *loadResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := options[load](t, append([]string{"--warmup", "100ms", "--duration", "1s", "--connect-rate", "500"}, args...)...).measure(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What is counted is what was published, to the event, however it is encoded.
func TestCountsAreExact(t *testing.T) {
	const subscribers, rounds = 30, 50
	for _, tt := range []struct {
		name    string
		dialect fleet.Tickcast
		deflate bool
		engine  string
		start   func(*httptest.Server)
	}{
		{"msgpack", fleet.Tickcast{}, false, stream.EngineEpoll, (*httptest.Server).Start},
		{"json", fleet.Tickcast{Encoding: codec.JSON}, false, stream.EngineEpoll, (*httptest.Server).Start},
		{"msgpack, compressed", fleet.Tickcast{}, true, stream.EngineEpoll, (*httptest.Server).Start},
		{"json, compressed", fleet.Tickcast{Encoding: codec.JSON}, true, stream.EngineGoroutine, (*httptest.Server).Start},
		{"TLS", fleet.Tickcast{}, false, stream.EngineGoroutine, (*httptest.Server).StartTLS},
		{"TLS, compressed", fleet.Tickcast{}, true, stream.EngineGoroutine, (*httptest.Server).StartTLS},
	} {
		t.Run(tt.name, func(t *testing.T) {
			source := make(manual)
			r := newRig(t, source, stream.Config{Engine: tt.engine}, tt.start)
			u, err := url.Parse(r.url)
			if err != nil {
				t.Fatal(err)
			}
			plan := fleet.Plan{Names: tape.Symbols(20), PerMember: 20, Pick: "fixed"}
			members := make([]fleet.Member, subscribers)
			for i := range members {
				members[i] = plan.Member(i)
			}
			tt.dialect.Channels = []market.Channel{market.ChannelTrade}
			f, err := fleet.New(fleet.Config{URL: u, Dialect: &tt.dialect, Members: members, ConnectRate: 1000, Deflate: tt.deflate, TLS: (&load{URL: r.url, Insecure: true}).tls()})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := f.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			total := fleet.NewReport()
			look := func(enough func() bool) func() bool {
				return func() bool {
					seen := f.Take()
					total.Add(&seen)
					return enough()
				}
			}
			await(t, "every snapshot", look(func() bool { return total.Snapshots == subscribers*20 }))
			source <- rounds
			await(t, "every trade", look(func() bool { return total.Ticks >= subscribers*20*rounds }))
			if total.Ticks != subscribers*20*rounds || total.Gaps != 0 || total.Malformed != 0 || total.Acks != subscribers {
				t.Errorf("%+v", total.Tally)
			}
			r.node.Drain(t.Context(), 100*time.Millisecond)
			t.Cleanup(func() { t.Logf("closed, by code: %v", total.Closes) })
			await(t, "every close frame", look(func() bool { return total.Closes[1012] == subscribers }))
		})
	}
}

func TestLoadRuns(t *testing.T) {
	const subscribers = 20
	r := newRig(t, steady(200), stream.Config{}, (*httptest.Server).Start)
	hdr := filepath.Join(t.TempDir(), "latency.hlog")
	for _, args := range [][]string{
		{"--hdr-log", hdr},
		{"--encoding", "json", "--pick", "zipf", "--symbols", "5"},
		{"--processes", "2"},
		{"--pick", "watchlists", "--interval", "20ms"},
		{"--slow", "0.3", "--storm-every", "300ms"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			got := measure(t, append([]string{"--url", r.url, "--subscribers", fmt.Sprint(subscribers), "--pid", fmt.Sprint(os.Getpid())}, args...)...)
			if got.Ready != subscribers || got.Failed != 0 || got.Malformed != 0 || got.Errors != 0 || got.Ticks == 0 || got.Messages == 0 {
				t.Errorf("%+v", got)
			}
			if got.Latency.P50 <= 0 || got.Connect.P50 <= 0 || got.Subscribe.P50 <= 0 || got.Server.CPU <= 0 || got.OwnCPU <= 0 {
				t.Errorf("latency %+v, connect %+v, subscribe %+v, server %+v, own CPU %v", got.Latency, got.Connect, got.Subscribe, got.Server, got.OwnCPU)
			}
		})
	}
	file, err := os.Open(hdr)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if h, err := hdrhistogram.NewHistogramLogReader(file).NextIntervalHistogram(); err != nil || h == nil || h.TotalCount() == 0 {
		t.Errorf("the HDR log gives %v, %v", h, err)
	}
}

func TestVerifyFindsNothingWrong(t *testing.T) {
	r := newRig(t, steady(300), stream.Config{PendingBytes: 32 << 10, SlowTimeout: time.Second}, (*httptest.Server).Start)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	v, err := options[verify](t, "--url", r.url, "--subscribers", "30", "--duration", "2s", "--storm-every", "500ms", "--read-rate", "2000", "--settle", patience.String()).audit(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if v.Sums.Faults() != 0 || v.Behind != 0 || v.Trades == 0 || v.Resumed == 0 {
		t.Errorf("%+v", v)
	}
}

func TestRivalsServeTheSameWork(t *testing.T) {
	const subscribers = 10
	symbols, window := tape.Symbols(20), 10*time.Millisecond
	b, err := bus.Connect(t.Context(), bus.Config{Servers: bus.Embedded, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ready, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.Ready(ready); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	fed := make(chan error, 1)
	go func() { fed <- feed.New(steady(1000), b, feed.Config{}, zap.NewNop()).Run(ctx) }()
	defer func() {
		stop()
		if err := <-fed; err != nil {
			t.Error(err)
		}
	}()

	cfg := rival.Config{NATS: b.Status().URL, Symbols: symbols, Window: window}
	servers := map[string]func(context.Context, net.Listener) error{
		"floor": func(ctx context.Context, ln net.Listener) error {
			return floor.Serve(ctx, ln, floor.Config{Symbols: symbols, Rate: 1000, Window: window}, 2)
		},
		natsServer: nil,
	}
	for name, r := range rivals {
		if r.serve != nil {
			servers[name] = func(ctx context.Context, ln net.Listener) error { return r.serve(ctx, ln, cfg) }
		}
	}
	for name, serve := range servers {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			addr, done := make(chan string, 1), make(chan error, 1)
			args := []string{"--market", "20", "--symbols", "10", "--pick", "even", "--subscribers", fmt.Sprint(subscribers)}
			if serve == nil {
				args = append(args, "--server", "nats")
				go func() { done <- rival.NATS(ctx, "127.0.0.1:0", cfg, func(a string) { addr <- a }) }()
			} else {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				addr <- ln.Addr().String()
				go func() { done <- serve(ctx, ln) }()
			}
			r := measure(t, append(args, "--url", "ws://"+<-addr+"/v1/stream")...)
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if r.Ticks == 0 || r.Open != subscribers || r.Malformed != 0 || r.Failed != 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestWrongOptionsAreNamed(t *testing.T) {
	for _, tt := range []struct {
		cmd  interface{ Validate() error }
		want string
	}{
		{&load{URL: "http://x", Subscribers: 1, Symbols: 1, ConnectRate: 1, Duration: 1, ReadRate: 1000}, "--url"},
		{&load{URL: "ws://x", Symbols: 1, ConnectRate: 1, Duration: 1, ReadRate: 1000}, "--subscribers"},
		{&rivalCmd{Name: "apache"}, "apache"},
		{&matrix{Symbols: []int{20}, Market: []int{10}, Repeats: 1, Tries: 1, Frames: 1, Duration: 1, ConnectRate: 1}, "--symbols"},
		{&matrix{Servers: []string{"apache"}, Repeats: 1, Tries: 1, Frames: 1, Duration: 1, ConnectRate: 1}, "apache"},
		{&planCmd{}, "--subscribers"},
		{&calibrate{}, "--repeats"},
	} {
		if err := tt.cmd.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%T: %v, want it to name %s", tt.cmd, err, tt.want)
		}
	}
}
