package stream

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tickcast/tickcast/pkg/market"
)

// A metric is one line of the node's table: what it is called, what it tells, and how it is
// read. Reading happens at scrape time from counters that the owners publish once a turn.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	read       func(n *Node) float64
}

func (n *Node) sum(read func(*shardCounts) int64) float64 {
	var total int64
	for _, sh := range n.shards {
		total += read(&sh.counts)
	}
	return float64(total)
}

var metrics = []metric{
	{"tickcast_connections", "Subscriber connections open now.", prometheus.GaugeValue,
		func(n *Node) float64 { return float64(n.sessions.Load()) }},
	{"tickcast_connections_opened_total", "Subscriber connections accepted since the start.", prometheus.CounterValue,
		func(n *Node) float64 { return float64(n.started.Load()) }},
	{"tickcast_upgrades_refused_total", "Upgrade requests answered by an HTTP error.", prometheus.CounterValue,
		func(n *Node) float64 { return float64(n.refused.Load()) }},
	{"tickcast_subscriptions", "Streams and wildcards subscribed to, summed over the sessions.", prometheus.GaugeValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.subscriptions.Load() }) }},
	{"tickcast_events_sent_total", "Events handed to subscribers' sockets.", prometheus.CounterValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.events.Load() }) }},
	{"tickcast_batches_sent_total", "WebSocket messages handed to subscribers' sockets.", prometheus.CounterValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.batches.Load() }) }},
	{"tickcast_bytes_sent_total", "Bytes of those messages, before compression.", prometheus.CounterValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.bytes.Load() }) }},
	{"tickcast_events_conflated_total", "Events that a newer one of their stream took the place of, for slow subscribers.", prometheus.CounterValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.conflated.Load() }) }},
	{"tickcast_events_dropped_total", "Events that slow subscribers got a gap for.", prometheus.CounterValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.dropped.Load() }) }},
	{"tickcast_events_aggregated_total", "Trades that slow subscribers got a summary of.", prometheus.CounterValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.aggregated.Load() }) }},
	{"tickcast_slow_consumers_cut_total", "Sessions closed with 4408.", prometheus.CounterValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.evicted.Load() }) }},
	{"tickcast_upstream_messages_total", "NATS messages received.", prometheus.CounterValue,
		func(n *Node) float64 { return float64(n.in.metrics.messages.Load()) }},
	{"tickcast_upstream_ticks_total", "Ticks received and followed.", prometheus.CounterValue,
		func(n *Node) float64 { return float64(n.in.metrics.ticks.Load()) }},
	{"tickcast_upstream_bad_total", "NATS messages refused because they are no ticks.", prometheus.CounterValue,
		func(n *Node) float64 { return float64(n.in.metrics.bad.Load()) }},
	{"tickcast_upstream_repeats_total", "Ticks received again, with numbers already seen.", prometheus.CounterValue,
		func(n *Node) float64 { return float64(n.in.metrics.stale.Load()) }},
	{"tickcast_upstream_lost_total", "Ticks that the numbers say were published and that never came.", prometheus.CounterValue,
		func(n *Node) float64 { return float64(n.in.metrics.lost.Load()) }},
	{"tickcast_upstream_resets_total", "Streams whose numbers began anew because a feed could not know the last one.", prometheus.CounterValue,
		func(n *Node) float64 { return float64(n.in.metrics.resets.Load()) }},
	{"tickcast_upstream_filled_total", "Trades that did not come and were found in the store.", prometheus.CounterValue,
		func(n *Node) float64 { return float64(n.in.metrics.filled.Load()) }},
	{"tickcast_upstream_dropped_total", "NATS messages that came faster than they were taken.", prometheus.CounterValue,
		func(n *Node) float64 { _, dropped := n.up.Lost(); return float64(dropped) }},
	{"tickcast_upstream_reconnects_total", "Times that NATS was lost and found again.", prometheus.CounterValue,
		func(n *Node) float64 { reconnects, _ := n.up.Lost(); return float64(reconnects) }},
	{"tickcast_history_searches_total", "Searches of the store for trades of a stream.", prometheus.CounterValue,
		func(n *Node) float64 { return float64(n.in.metrics.searches.Load()) }},
	{"tickcast_history_bytes", "Recent trades held in memory.", prometheus.GaugeValue,
		func(n *Node) float64 { return float64(n.in.metrics.kept.Load()) }},
	{"tickcast_upstream_connected", "1 while the node is connected to NATS.", prometheus.GaugeValue,
		func(n *Node) float64 {
			if now, _ := n.up.Connected(); now {
				return 1
			}
			return 0
		}},
}

var gapsDesc = prometheus.NewDesc("tickcast_upstream_gaps_total", "Holes in the numbers of a stream, by channel.", []string{"channel"}, nil)

// Describe and Collect make the node a prometheus.Collector.
func (n *Node) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(n, ch) }

// Collect reads every metric once.
func (n *Node) Collect(out chan<- prometheus.Metric) {
	for _, m := range metrics {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(m.name, m.help, nil, nil), m.kind, m.read(n))
	}
	for _, ch := range market.AllChannels() {
		out <- prometheus.MustNewConstMetric(gapsDesc, prometheus.CounterValue, float64(n.in.metrics.gaps[ch].Load()), ch.String())
	}
}
