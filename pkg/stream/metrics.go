package stream

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tickcast/tickcast/pkg/codec"
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
	{"tickcast_connections_limit", "Subscriber connections beyond which upgrades are refused.", prometheus.GaugeValue,
		func(n *Node) float64 { return float64(n.cfg.MaxConnections) }},
	{"tickcast_connections_opened_total", "Subscriber connections accepted since the start.", prometheus.CounterValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.opened.Load() }) }},
	{"tickcast_page_requests_refused_total", "Requests of pages that were too many, or had no valid token.", prometheus.CounterValue,
		func(n *Node) float64 { return float64(n.pagesRefused.Load()) }},
	{"tickcast_http_connections", "Connections that are no WebSocket, or not yet.", prometheus.GaugeValue,
		func(n *Node) float64 { return float64(n.lobby.size()) }},
	{"tickcast_unauthenticated_connections", "Sessions that have yet to send a valid token.", prometheus.GaugeValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.unproven.Load() }) }},
	{"tickcast_delayed_bytes", "What is held back for the holders of delayed tokens.", prometheus.GaugeValue,
		func(n *Node) float64 { bytes, _ := n.fan.held(); return float64(bytes) }},
	{"tickcast_delayed_lost_total", "Messages held back and lost, for want of room.", prometheus.CounterValue,
		func(n *Node) float64 { _, lost := n.fan.held(); return float64(lost) }},
	{"tickcast_subscriptions", "Streams and wildcards subscribed to, summed over the sessions.", prometheus.GaugeValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.subscriptions.Load() }) }},
	{"tickcast_events_sent_total", "Events handed to subscribers' sockets.", prometheus.CounterValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.events.Load() }) }},
	{"tickcast_batches_sent_total", "WebSocket messages handed to subscribers' sockets.", prometheus.CounterValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.batches.Load() }) }},
	{"tickcast_bytes_sent_total", "Bytes of those messages, before compression.", prometheus.CounterValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.bytes.Load() }) }},
	{"tickcast_wire_bytes_sent_total", "Bytes that the kernel took for subscribers: compressed, framed and, under epoll, sealed by TLS; with answers to upgrades and control frames.", prometheus.CounterValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.wire.Load() }) }},
	{"tickcast_pending_bytes", "Memory that the sessions which are behind hold on to.", prometheus.GaugeValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.ladenBytes.Load() }) }},
	{"tickcast_slow_consumers", "Sessions that are slow now, as /v1/sessions has it.", prometheus.GaugeValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.slow.Load() }) }},
	{"tickcast_events_conflated_total", "Events that a newer one of their stream took the place of, for slow subscribers and for those with an interval.", prometheus.CounterValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.conflated.Load() }) }},
	{"tickcast_events_dropped_total", "Events that slow subscribers got a gap for.", prometheus.CounterValue,
		func(n *Node) float64 { return n.sum(func(c *shardCounts) int64 { return c.dropped.Load() }) }},
	{"tickcast_events_aggregated_total", "Trades that slow subscribers, and those with an interval, got a summary of.", prometheus.CounterValue,
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
	{"tickcast_upstream_held_total", "Times that NATS messages waited because an event loop was far behind.", prometheus.CounterValue,
		func(n *Node) float64 { return float64(n.in.metrics.held.Load()) }},
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

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// What does not fit the table: metrics with a label, and histograms.
var (
	refusedDesc     = describe("tickcast_upgrades_refused_total", "Connections that became no WebSocket, by the HTTP status of the answer.", "status")
	holesDesc       = describe("tickcast_upstream_gaps_total", "Holes in the numbers of a stream, by channel.", "channel")
	gapsDesc        = describe("tickcast_gaps_sent_total", "Gap events handed to subscribers' sockets, by reason.", "reason")
	closesDesc      = describe("tickcast_connections_closed_total", "Subscriber connections that ended, by close code.", "code")
	authDesc        = describe("tickcast_auth_failures_total", "Tokens that did not let their bearer in, by reason.", "reason")
	batchEventsDesc = describe("tickcast_batch_events", "Events in a WebSocket message.")
	turnDesc        = describe("tickcast_loop_turn_seconds", "How long a turn of an event loop took.")
	lagDesc         = describe("tickcast_upstream_lag_seconds", "From a trade's or quote's own time to its arrival at the node: the newest of each NATS message with news.")
	hopDesc         = describe("tickcast_hop_seconds", "How long ticks took over one part of their way, of the few whose times are told: venue (its clock to the feed's), feed (taken to published), nats (to the node's clock), node (to the sockets). What clocks make negative counts as 0.", "hop")
	deliveryDesc    = describe("tickcast_delivery_seconds", "From arrival at the node to the sockets: the longest wait in each flush, without what slow subscribers hold up.")
)

// Describe and Collect make the node a prometheus.Collector.
func (n *Node) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(n, ch) }

// Collect reads every metric once.
func (n *Node) Collect(out chan<- prometheus.Metric) {
	for _, m := range metrics {
		out <- prometheus.MustNewConstMetric(describe(m.name, m.help), m.kind, m.read(n))
	}
	counter := func(desc *prometheus.Desc, v float64, label string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, v, label)
	}
	for i, status := range refusedWith {
		counter(refusedDesc, float64(n.refused[i].Load()), status)
	}
	for i, reason := range authReasons {
		counter(authDesc, float64(n.authFailures[i].Load()), reason)
	}
	for _, ch := range market.AllChannels() {
		counter(holesDesc, float64(n.in.metrics.gaps[ch].Load()), ch.String())
	}
	for i, reason := range codec.Reasons() {
		counter(gapsDesc, n.sum(func(c *shardCounts) int64 { return c.gaps[i].Load() }), string(reason))
	}
	for i := range len(closeCodes) + 1 {
		counter(closesDesc, n.sum(func(c *shardCounts) int64 { return c.closes[i].Load() }), closeLabel(i))
	}
	var events, turns, deliveries []*histogram
	for _, sh := range n.shards {
		events = append(events, &sh.counts.batchEvents)
		turns = append(turns, &sh.counts.turn)
		deliveries = append(deliveries, &sh.counts.delivery)
	}
	out <- eventBounds.metric(batchEventsDesc, events)
	out <- turnBounds.metric(turnDesc, turns)
	out <- latencyBounds.metric(deliveryDesc, deliveries)
	out <- latencyBounds.metric(lagDesc, []*histogram{&n.in.metrics.lag})
	for of := range hopCount {
		out <- latencyBounds.metric(hopDesc, []*histogram{&n.in.hops.since[of]}, of.String())
	}
}
