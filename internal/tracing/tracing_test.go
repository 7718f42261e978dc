package tracing

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tickcast/tickcast/internal/otlptest"
	"github.com/tickcast/tickcast/internal/waiting"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/feed"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var aapl = market.Stream{Channel: market.ChannelTrade, Symbol: "AAPL"}

func newTracer(t *testing.T, endpoint string) (*Tracer, *observer.ObservedLogs) {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	core, logs := observer.New(zap.DebugLevel)
	tracer, err := New(Config{Service: "tickcast-test", Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tracer.Close)
	return tracer, logs
}

// follow takes one tick through a feed and a node that flushes it to a session at the times.
func follow(tracer *Tracer, published error, sockets ...stream.SocketFlush) {
	header, done := tracer.Feed(feed.Traced{Stream: aapl, Seq: 7, Taken: time.Now(), Ticks: 3})
	if header == nil {
		return
	}
	done(published)
	arrived := time.Now()
	flushed := tracer.Node(stream.Arrival{Header: header, Stream: aapl, First: 5, Last: 7, At: arrived})
	if flushed == nil {
		return
	}
	flushed(stream.Flush{Gathered: arrived, Begun: arrived, Sessions: 9, Socket: sockets})
}

var await = waiting.For

func TestATickIsOneTreeOfSpans(t *testing.T) {
	at := otlptest.Start(t)
	tracer, _ := newTracer(t, at.URL)
	last := time.Now().Add(time.Hour) // the node ends with the last of its sockets
	follow(tracer, nil, stream.SocketFlush{Session: "n-1", Done: last}, stream.SocketFlush{Session: "n-2", Encoding: codec.JSON, Done: last.Add(-time.Minute)})
	tracer.Close()

	byName := make(map[string][]otlptest.Span)
	for _, s := range at.Spans() {
		byName[s.Name] = append(byName[s.Name], s)
	}
	for _, tt := range []struct {
		name, parent string
		count        int
	}{{"feed", "", 1}, {"nats", "feed", 1}, {"node", "nats", 1}, {"socket", "node", 2}} {
		spans := byName[tt.name]
		if len(spans) != tt.count {
			t.Fatalf("%d spans %s, want %d", len(spans), tt.name, tt.count)
		}
		for _, s := range spans {
			parent := ""
			if tt.parent != "" {
				parent = byName[tt.parent][0].ID
			}
			if s.Parent != parent || s.Trace != byName["feed"][0].Trace {
				t.Errorf("%s is not below %s: %+v", tt.name, tt.parent, s)
			}
			if s.From > s.To {
				t.Errorf("%s ends before it begins", tt.name)
			}
			if s.Service != "tickcast-test" {
				t.Errorf("%s is of service %q", tt.name, s.Service)
			}
		}
	}
	if got := byName["node"][0]; got.To != uint64(last.UnixNano()) || !slices.Equal(got.Events, []string{"gathered"}) {
		t.Errorf("node %+v", got)
	}
	if got := byName["feed"][0].Attributes; got["tickcast.symbol"] != "AAPL" || got["tickcast.channel"] != "trade" {
		t.Errorf("attributes %v", got)
	}
	if got := tracer.sent.Load(); got != 5 || tracer.waiting.Load() != 0 {
		t.Errorf("%d spans sent, %d wait, want 5 and none", got, tracer.waiting.Load())
	}
}

func TestAMessageThatWasNotPublishedIsAFailedSpan(t *testing.T) {
	at := otlptest.Start(t)
	tracer, _ := newTracer(t, at.URL)
	_, done := tracer.Feed(feed.Traced{Stream: aapl, Taken: time.Now()})
	done(errors.New("away"))
	tracer.Close()
	if spans := at.Spans(); len(spans) != 1 || !spans[0].Failed {
		t.Errorf("got %+v", spans)
	}
}

// What comes in a header is from elsewhere.
func TestAStrangeHeaderIsNoTrace(t *testing.T) {
	at := otlptest.Start(t)
	tracer, _ := newTracer(t, at.URL)
	const good, unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	for _, tt := range []struct {
		name   string
		header map[string][]string
		want   bool
	}{
		{"empty", map[string][]string{}, false},
		{"another header", map[string][]string{"x": {"y"}}, false},
		{"no value", map[string][]string{"traceparent": {}}, false},
		{"no context", map[string][]string{"traceparent": {"00-xyz"}}, false},
		{"not sampled", map[string][]string{"traceparent": {unsampled}}, false},
		{"no time", map[string][]string{"traceparent": {good}}, true},
		{"no number", map[string][]string{"traceparent": {good}, publishedKey: {"soon"}}, true},
		{"a time to come", map[string][]string{"traceparent": {good}, publishedKey: {"9000000000000000000"}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tracer.Node(stream.Arrival{Header: tt.header, Stream: aapl, At: time.Now()}) != nil; got != tt.want {
				t.Errorf("followed: %v, want %v", got, tt.want)
			}
		})
	}
	tracer.Close()
	for _, s := range at.Spans() {
		if s.From != s.To {
			t.Errorf("%d ns between an unknown time and the arrival, want none", s.To-s.From)
		}
	}
}

func TestACollectorThatIsAwayIsToldOfOnce(t *testing.T) {
	down := httptest.NewServer(nil)
	down.Close()
	tracer, logs := newTracer(t, down.URL)
	for failed := range int64(3) {
		follow(tracer, nil)
		await(t, "a batch to fail", func() bool { return tracer.failed.Load() >= 3*(failed+1) })
	}
	tracer.Close()
	if n := logs.FilterMessage("traces are not taken, and lost until they are").Len(); n != 1 || logs.Len() != 1 {
		t.Errorf("%d lines of %d tell of it: %v", n, logs.Len(), logs.All())
	}
	if got, err := testutil.GatherAndCount(registry(tracer), "tickcast_trace_spans_total"); err != nil || got != 3 {
		t.Errorf("%d series, %v, want one of each result", got, err)
	}
}

func TestACollectorThatHangsHoldsNothingUp(t *testing.T) {
	asked, release := make(chan struct{}, 1), make(chan struct{})
	hung := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-release
	}))
	defer hung.Close()
	defer close(release)
	tracer, _ := newTracer(t, hung.URL)
	follow(tracer, nil)
	<-asked
	for range queueSpans {
		follow(tracer, nil)
	}
	if waiting, dropped := tracer.waiting.Load(), tracer.dropped.Load(); waiting > queueSpans || dropped == 0 {
		t.Errorf("%d spans wait and %d are dropped, want no more than %d", waiting, dropped, queueSpans)
	}
	tracer.Close() // gives up, and leaves no goroutine
}

func TestASamplerMayTakeNone(t *testing.T) {
	at := otlptest.Start(t)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	tracer, _ := newTracer(t, at.URL)
	if header, _ := tracer.Feed(feed.Traced{Stream: aapl, Taken: time.Now()}); header != nil || tracer.waiting.Load() != 0 {
		t.Errorf("header %v, %d spans wait", header, tracer.waiting.Load())
	}
}

func TestAWrongEnvironmentIsAnError(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "no pairs")
	if _, err := New(Config{Log: zap.NewNop()}); err == nil {
		t.Error("no error")
	}
}

// BenchmarkTrace is what a traced tick costs those who wait for it: the feed's part, and the
// node's with three sockets.
func BenchmarkTrace(b *testing.B) {
	b.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	tracer, err := New(Config{Log: zap.NewNop()})
	if err != nil {
		b.Fatal(err)
	}
	defer tracer.Close()
	sockets := make([]stream.SocketFlush, 3)
	b.ReportAllocs()
	for b.Loop() {
		follow(tracer, nil, sockets...)
		if tracer.waiting.Load() > queueSpans/2 { // measure spans, not drops
			b.StopTimer()
			_ = tracer.provider.ForceFlush(context.Background())
			b.StartTimer()
		}
	}
}

func registry(c prometheus.Collector) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	return r
}
