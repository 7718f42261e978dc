package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tickcast/tickcast/pkg/feed"
	"github.com/tickcast/tickcast/pkg/feed/replay"
	"github.com/tickcast/tickcast/pkg/market"
)

// feedMetrics turns a feed's counts into metrics when they are asked for.
type feedMetrics struct {
	name      string // of the source
	source    feed.Source
	feed      *feed.Feed
	connected func() bool // to NATS

	events, symbols, messages, bytes, lost, refused, late, active, rejected, up *prometheus.Desc
}

func newMetrics(name string, source feed.Source, f *feed.Feed, connected func() bool) *feedMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("tickcast_feed_"+name, help, labels, nil)
	}
	return &feedMetrics{
		name: name, source: source, feed: f, connected: connected,
		events:   desc("events_total", "Ticks that got a number, by source and channel.", "source", "channel"),
		symbols:  desc("symbols", "Symbols announced."),
		messages: desc("messages_total", "NATS messages published."),
		bytes:    desc("bytes_total", "Bytes of those messages."),
		lost:     desc("lost_total", "Ticks that got a number while NATS was away; subscribers see a gap."),
		refused:  desc("refused_total", "Ticks that cannot be encoded."),
		late:     desc("late_trades_total", "Trades left out of their bar, which was closed."),
		active:   desc("active", "1 while the feed publishes, 0 while it stands by for another."),
		rejected: desc("rejected_lines_total", "Lines of a recording that cannot be read, by source.", "source"),
		up:       desc("connected", "1 while the feed is connected to NATS."),
	}
}

// Describe and Collect make it a prometheus.Collector.
func (m *feedMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect reads every count once.
func (m *feedMetrics) Collect(out chan<- prometheus.Metric) {
	s := m.feed.Stats()
	gauge := func(d *prometheus.Desc, v int64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
	}
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for _, ch := range market.AllChannels() {
		counter(m.events, s.Events[ch], m.name, ch.String())
	}
	gauge(m.symbols, s.Symbols)
	active := int64(0)
	if s.Active {
		active = 1
	}
	gauge(m.active, active)
	counter(m.messages, s.Messages)
	counter(m.bytes, s.Bytes)
	counter(m.lost, s.Lost)
	counter(m.refused, s.Refused)
	counter(m.late, s.Late)
	rejected := int64(0)
	if r, ok := m.source.(*replay.Source); ok {
		rejected = r.Stats().Bad
	}
	counter(m.rejected, rejected, m.name)
	up := int64(0)
	if m.connected() {
		up = 1
	}
	gauge(m.up, up)
}
