package tracing

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr/funcr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

const (
	// queueSpans bounds the spans that are open or wait for the collector, some 2 KiB each.
	queueSpans = 2048
	// closeWithin bounds how long Close waits for the collector.
	closeWithin = 3 * time.Second
)

// Config says whose traces they are. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come first.
type Config struct {
	Service  string // such as "tickcast-feed"
	Instance string // tells processes of a service apart; may be empty
	Log      *zap.Logger
}

// A Tracer makes spans and sends them. Any goroutine may call it.
type Tracer struct {
	log      *zap.Logger
	provider *sdk.TracerProvider
	spans    trace.Tracer
	ending   context.Context // done when Close waits no longer
	end      context.CancelFunc
	ended    chan struct{} // closed behind the last export

	waiting               atomic.Int64 // spans begun and not yet sent, or failed
	sent, failed, dropped atomic.Int64
	failing               bool // the last batch was not taken; the exporter's goroutine's
}

// New makes a Tracer, which holds goroutines until Close. It does not look for the collector.
// The error is about the environment.
func New(cfg Config) (*Tracer, error) {
	t := &Tracer{log: cfg.Log, ended: make(chan struct{})}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { t.log.Warn("OpenTelemetry", zap.Error(err)) }))
	otel.SetLogger(funcr.New(func(_, args string) { t.log.Warn("OpenTelemetry", zap.String("message", args)) }, funcr.Options{}))
	ctx := context.Background()
	to, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("OTLP exporter: %w", err)
	}
	who := []attribute.KeyValue{attribute.String("service.name", cfg.Service)}
	if cfg.Instance != "" {
		who = append(who, attribute.String("service.instance.id", cfg.Instance))
	}
	res, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(who...), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	t.ending, t.end = context.WithCancel(ctx)
	// The processor's own queue can hold all that room lets in, so that it never drops unseen.
	batches := sdk.NewBatchSpanProcessor(exporter{t, to}, sdk.WithMaxQueueSize(2*queueSpans))
	t.provider = sdk.NewTracerProvider(sdk.WithResource(res), sdk.WithSpanProcessor(batches))
	t.spans = t.provider.Tracer("github.com/tickcast/tickcast")
	return t, nil
}

// Close sends what waits, for three seconds at the most, and ends the goroutines. The library's
// own end does not wait for them where the time runs out.
func (t *Tracer) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.Warn("traces not sent at the end", zap.Int64("spans", t.waiting.Load()), zap.Error(err))
	}
	t.end()
	<-t.ended
}

// room says whether so many spans more may be begun; if not, they count as dropped.
func (t *Tracer) room(spans int) bool {
	if t.waiting.Load()+int64(spans) > queueSpans {
		t.dropped.Add(int64(spans))
		return false
	}
	return true
}

// begin starts a span, which is to be ended unless it is not sampled: OTEL_TRACES_SAMPLER.
func (t *Tracer) begin(ctx context.Context, name string, at time.Time, kind trace.SpanKind, about ...attribute.KeyValue) (context.Context, trace.Span) {
	ctx, span := t.spans.Start(ctx, name, trace.WithTimestamp(at), trace.WithSpanKind(kind), trace.WithAttributes(about...))
	if span.SpanContext().IsSampled() {
		t.waiting.Add(1)
	}
	return ctx, span
}

// An exporter counts what its collector takes.
type exporter struct {
	t  *Tracer
	to sdk.SpanExporter
}

// ExportSpans implements the library's interface. What failed is told here, and not again.
func (e exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	t := e.t
	n := int64(len(spans))
	defer t.waiting.Add(-n)
	if t.ending.Err() != nil {
		t.failed.Add(n)
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.ending, cancel)()
	err := e.to.ExportSpans(ctx, spans)
	switch {
	case err == nil:
		t.sent.Add(n)
		if t.failing {
			t.log.Info("traces are taken again", zap.Int64("spans_lost", t.failed.Load()))
		}
	default:
		t.failed.Add(n)
		if !t.failing {
			t.log.Warn("traces are not taken, and lost until they are", zap.Error(err))
		}
	}
	t.failing = err != nil
	return nil
}

// Shutdown implements the library's interface: it is called once, behind the last export.
func (e exporter) Shutdown(ctx context.Context) error {
	defer close(e.t.ended)
	return e.to.Shutdown(ctx)
}

// A carrier is a message's header as the library reads and writes it.
type carrier map[string][]string

// Get returns the first value.
func (c carrier) Get(key string) string {
	if all := c[key]; len(all) > 0 {
		return all[0]
	}
	return ""
}

// Set replaces all values.
func (c carrier) Set(key, value string) { c[key] = []string{value} }

// Keys lists what is there.
func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for key := range c {
		keys = append(keys, key)
	}
	return keys
}

// publishedKey tells when the message was published, in Unix ns: the trace context, in
// traceparent beside it, does not.
const publishedKey = "tickcast-published"

func (c carrier) published() (time.Time, bool) {
	ns, err := strconv.ParseInt(c.Get(publishedKey), 10, 64)
	return time.Unix(0, ns), err == nil
}
