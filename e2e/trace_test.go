package e2e_test

import (
	"testing"

	"github.com/tickcast/tickcast/internal/otlptest"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

func TestATickIsTracedFromTheFeedToASocket(t *testing.T) {
	collector := otlptest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	nats := startNATS(t)
	feed := startFeed(t, nats, "--trace-every", "100")
	node := startStreamer(t, nats, append([]string{"--trace-every", "1", "--name", "n"}, patient...)...)
	plain := startStreamer(t, nats, patient...)
	var subs []*subscriber
	for _, n := range []*streamer{node, plain} { // with a trace and without, the ticks are the same
		n.awaitSymbols(100)
		subs = append(subs, n.follow(codec.MsgPack, market.AllChannels(), market.Wildcard))
	}

	var way []otlptest.Span
	await(t, "a trace as far as a socket", func() bool {
		byID := make(map[string]otlptest.Span)
		spans := collector.Spans()
		for _, s := range spans {
			byID[s.ID] = s
		}
		for _, s := range spans {
			way = way[:0]
			for ; s.ID != ""; s = byID[s.Parent] {
				way = append([]otlptest.Span{s}, way...)
			}
			if len(way) == 4 {
				return true
			}
		}
		return false
	})
	for i, want := range []struct{ name, service string }{
		{"feed", "tickcast-feed"}, {"nats", "tickcast-streamer"}, {"node", "tickcast-streamer"}, {"socket", "tickcast-streamer"},
	} {
		s := way[i]
		if s.Name != want.name || s.Service != want.service || s.Trace != way[0].Trace {
			t.Errorf("span %d is %+v, want %s of %s", i, s, want.name, want.service)
		}
		if i > 0 && (s.From < way[i-1].From || s.To < s.From) {
			t.Errorf("%s begins at %d and ends at %d, and %s began at %d", s.Name, s.From, s.To, way[i-1].Name, way[i-1].From)
		}
	}
	if way[2].From != way[1].To || way[3].Attributes["tickcast.session"] != "n-1" {
		t.Errorf("got %+v", way)
	}

	await(t, "spans to be counted as sent", func() bool {
		return metric(t, node.admin, "tickcast_trace_spans_total") > 0 && metric(t, feed.admin, "tickcast_trace_spans_total") > 0
	})
	feed.stop()
	truth := plain.snapshot(plain.symbols())
	for _, s := range subs {
		s.reaches(truth)
		if gaps := s.gaps(); len(gaps) > 0 {
			t.Errorf("gaps where nothing was missed: %v", gaps)
		}
	}
	node.stop()
}
