package tracing

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/tickcast/tickcast/pkg/feed"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

var contexts propagation.TraceContext

func about(s market.Stream, more ...attribute.KeyValue) []attribute.KeyValue {
	return append(more, attribute.String("tickcast.channel", s.Channel.String()), attribute.String("tickcast.symbol", s.Symbol))
}

// Feed is a [feed.TraceFunc]: it begins a trace.
func (t *Tracer) Feed(tick feed.Traced) (header map[string][]string, published func(error)) {
	if !t.room(1) {
		return nil, nil
	}
	ctx, span := t.begin(context.Background(), "feed", tick.Taken, trace.SpanKindProducer,
		about(tick.Stream, attribute.Int64("tickcast.seq", tick.Seq), attribute.Int("tickcast.ticks", tick.Ticks))...)
	if !span.SpanContext().IsSampled() {
		return nil, nil
	}
	c := carrier{}
	contexts.Inject(ctx, c)
	c.Set(publishedKey, strconv.FormatInt(time.Now().UnixNano(), 10))
	return c, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}

// Node is a [stream.TraceFunc]: it goes on with the trace of whoever published the message.
func (t *Tracer) Node(a stream.Arrival) func(stream.Flush) {
	c := carrier(a.Header)
	ctx := contexts.Extract(context.Background(), c)
	if !trace.SpanContextFromContext(ctx).IsSampled() || !t.room(1) {
		return nil
	}
	published, ok := c.published()
	if !ok || published.After(a.At) {
		published = a.At
	}
	ctx, span := t.begin(ctx, "nats", published, trace.SpanKindConsumer,
		about(a.Stream, attribute.Int64("tickcast.seq.first", a.First), attribute.Int64("tickcast.seq.last", a.Last))...)
	if !span.SpanContext().IsSampled() {
		return nil
	}
	span.End(trace.WithTimestamp(a.At))
	return func(f stream.Flush) { t.flushed(ctx, a.At, &f) }
}

func (t *Tracer) flushed(ctx context.Context, arrived time.Time, f *stream.Flush) {
	if !t.room(1 + len(f.Socket)) {
		return
	}
	ctx, node := t.begin(ctx, "node", arrived, trace.SpanKindInternal,
		attribute.Int("tickcast.shard", f.Shard), attribute.Int("tickcast.sessions", f.Sessions))
	node.AddEvent("gathered", trace.WithTimestamp(f.Gathered))
	end := f.Begun
	for _, s := range f.Socket {
		_, socket := t.begin(ctx, "socket", f.Begun, trace.SpanKindInternal,
			attribute.String("tickcast.session", s.Session), attribute.String("tickcast.encoding", s.Encoding.String()), attribute.Bool("tickcast.waits", s.Waits))
		socket.End(trace.WithTimestamp(s.Done))
		if s.Done.After(end) {
			end = s.Done
		}
	}
	node.End(trace.WithTimestamp(end))
}

var spansDesc = prometheus.NewDesc("tickcast_trace_spans_total",
	"Spans of traced ticks: sent to the collector, failed to be, or dropped since too many waited.", []string{"result"}, nil)

// Describe and Collect make it a prometheus.Collector.
func (t *Tracer) Describe(ch chan<- *prometheus.Desc) { ch <- spansDesc }

// Collect reads the counts.
func (t *Tracer) Collect(out chan<- prometheus.Metric) {
	for result, n := range map[string]int64{"sent": t.sent.Load(), "failed": t.failed.Load(), "dropped": t.dropped.Load()} {
		out <- prometheus.MustNewConstMetric(spansDesc, prometheus.CounterValue, float64(n), result)
	}
}
