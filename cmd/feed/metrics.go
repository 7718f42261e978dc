package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tickcast/tickcast/pkg/feed"
	"github.com/tickcast/tickcast/pkg/market"
)

// feedMetrics turns a feed's counts into metrics when they are asked for.
type feedMetrics struct {
	feed *feed.Feed

	events, symbols, messages, bytes, lost, refused, late, active *prometheus.Desc
}

func newMetrics(f *feed.Feed) *feedMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("tickcast_feed_"+name, help, labels, nil)
	}
	return &feedMetrics{
		feed:     f,
		events:   desc("events_total", "Ticks that got a number, by channel.", "channel"),
		symbols:  desc("symbols", "Symbols announced."),
		messages: desc("messages_total", "NATS messages published."),
		bytes:    desc("bytes_total", "Bytes of those messages."),
		lost:     desc("lost_total", "Ticks that got a number while NATS was away; subscribers see a gap."),
		refused:  desc("refused_total", "Ticks that cannot be encoded."),
		late:     desc("late_trades_total", "Trades left out of their bar, which was closed."),
		active:   desc("active", "1 while the feed publishes, 0 while it stands by for another."),
	}
}

// Describe and Collect make it a prometheus.Collector.
func (m *feedMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect reads every count once.
func (m *feedMetrics) Collect(out chan<- prometheus.Metric) {
	s := m.feed.Stats()
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for _, ch := range market.AllChannels() {
		counter(m.events, s.Events[ch], ch.String())
	}
	out <- prometheus.MustNewConstMetric(m.symbols, prometheus.GaugeValue, float64(s.Symbols))
	active := 0.0
	if s.Active {
		active = 1
	}
	out <- prometheus.MustNewConstMetric(m.active, prometheus.GaugeValue, active)
	counter(m.messages, s.Messages)
	counter(m.bytes, s.Bytes)
	counter(m.lost, s.Lost)
	counter(m.refused, s.Refused)
	counter(m.late, s.Late)
}
