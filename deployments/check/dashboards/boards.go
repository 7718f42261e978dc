package main

const oneNode = `namespace=~"$namespace",instance=~"$instance"`

// ofNodes leaves out whatever else is scraped there: every program has a process's metrics.
const ofNodes = " and on (namespace, instance) tickcast_connections"

// node looks at one node, or at a few beside each other.
func node() dashboard {
	each := func(title, unit, help, metric string) panel {
		return panel{title, unit, help, []query{{"{{instance}}", metric + "{" + oneNode + "}"}}}
	}
	perSecond := func(title, unit, help, metric string) panel {
		return panel{title, unit, help, []query{{"{{instance}}", rate(metric, oneNode)}}}
	}
	late := func(title, help, metric string) panel {
		return panel{title, "s", help, []query{
			{"half {{instance}}", quantile(0.5, metric, oneNode, "instance, ")},
			{"99 % {{instance}}", quantile(0.99, metric, oneNode, "instance, ")},
		}}
	}
	return dashboard{"tickcast-node", "tickcast: node", []variable{{"namespace", "tickcast_connections"}, {"instance", `tickcast_connections{namespace=~"$namespace"}`}}, []row{
		{"Subscribers", []panel{
			{"Connections", "short", "Open now, and how many the node takes.", []query{
				{"{{instance}}", "tickcast_connections{" + oneNode + "}"},
				{"limit {{instance}}", "tickcast_connections_limit{" + oneNode + "}"},
			}},
			{"Coming and going", "short", "Connections a second; those that end by close code, those refused by HTTP status.", []query{
				{"opened", sumBy("namespace", rate("tickcast_connections_opened_total", oneNode))},
				{"refused {{status}}", sumBy("status", rate("tickcast_upgrades_refused_total", oneNode)) + " > 0"},
				{"closed {{code}}", sumBy("code", rate("tickcast_connections_closed_total", oneNode)) + " > 0"},
			}},
			each("Subscriptions", "short", "Streams and wildcards, over all sessions.", "tickcast_subscriptions"),
		}},
		{"Ticks", []panel{
			perSecond("Ticks in", "short", "Received from NATS, a second.", "tickcast_upstream_ticks_total"),
			perSecond("Events out", "short", "Handed to sockets, a second.", "tickcast_events_sent_total"),
			{"Egress", "Bps", "Of batches, and what the kernel took of them: compressed, framed, sealed.", []query{
				{"batches {{instance}}", rate("tickcast_bytes_sent_total", oneNode)},
				{"wire {{instance}}", rate("tickcast_wire_bytes_sent_total", oneNode)},
			}},
			{"Events in a batch", "short", "Batches grow when the node has much to do.", []query{
				{"half {{instance}}", quantile(0.5, "tickcast_batch_events", oneNode, "instance, ")},
				{"99 % {{instance}}", quantile(0.99, "tickcast_batch_events", oneNode, "instance, ")},
			}},
		}},
		{"How late", []panel{
			late("Market to node", "From a tick's own time to its arrival. Old recordings make no sense here.", "tickcast_upstream_lag_seconds"),
			late("Node to socket", "The longest wait of each flush.", "tickcast_delivery_seconds"),
			late("Turn of a loop", "What everybody on the loop waits for.", "tickcast_loop_turn_seconds"),
			{"By hop", "s", "Of half the ticks, where clocks agree: venue to feed, in the feed, over NATS, in the node.", []query{
				{"{{hop}}", quantile(0.5, "tickcast_hop_seconds", oneNode, "hop, ")},
			}},
		}},
		{"What did not fit", []panel{
			each("Slow subscribers", "short", "Now.", "tickcast_slow_consumers"),
			each("Memory of those behind", "bytes", "Together at most --node-pending-bytes.", "tickcast_pending_bytes"),
			{"Given up", "short", "Events a second that slow subscribers did not get one by one.", []query{
				{"conflated", sumBy("namespace", rate("tickcast_events_conflated_total", oneNode))},
				{"dropped", sumBy("namespace", rate("tickcast_events_dropped_total", oneNode))},
				{"aggregated", sumBy("namespace", rate("tickcast_events_aggregated_total", oneNode))},
				{"sessions cut", sumBy("namespace", rate("tickcast_slow_consumers_cut_total", oneNode))},
			}},
			{"Gaps told", "short", "A second, by reason.", []query{
				{"{{reason}}", sumBy("reason", rate("tickcast_gaps_sent_total", oneNode))},
			}},
		}},
		{"Process", []panel{
			{"CPU", "short", "Cores.", []query{{"{{instance}}", rate("process_cpu_seconds_total", oneNode) + ofNodes}}},
			{"Memory", "bytes", "Resident, and what of it is Go's heap.", []query{
				{"resident {{instance}}", "process_resident_memory_bytes{" + oneNode + "}" + ofNodes},
				{"heap {{instance}}", "go_memstats_heap_inuse_bytes{" + oneNode + "}" + ofNodes},
			}},
			{"Descriptors", "short", "One for each session.", []query{{"{{instance}}", "process_open_fds{" + oneNode + "}" + ofNodes}}},
			each("NATS", "short", "1 is connected.", "tickcast_upstream_connected"),
		}},
	}}
}

const oneFleet = `namespace=~"$namespace"`

// fleet looks at all nodes and feeds together.
func fleet() dashboard {
	total := func(title, unit, help, expr string) panel {
		return panel{title, unit, help, []query{{"{{namespace}}", sumBy("namespace", expr)}}}
	}
	p99 := func(title, help, metric string) panel {
		return panel{title, "s", help, []query{{"{{instance}}", quantile(0.99, metric, oneFleet, "instance, ")}}}
	}
	return dashboard{"tickcast-fleet", "tickcast: fleet", []variable{{"namespace", "tickcast_connections"}}, []row{
		{"Subscribers", []panel{
			total("Connections", "short", "Of all nodes.", "tickcast_connections{"+oneFleet+"}"),
			{"Connections by node", "short", "New nodes get new subscribers only.", []query{{"{{instance}}", "tickcast_connections{" + oneFleet + "}"}}},
			{"How full", "percentunit", "Connections of those that the nodes take.", []query{
				{"{{instance}}", "tickcast_connections{" + oneFleet + "} / tickcast_connections_limit{" + oneFleet + "}"},
			}},
			{"Slow subscribers", "percentunit", "Of all.", []query{
				{"{{namespace}}", sumBy("namespace", "tickcast_slow_consumers{"+oneFleet+"}") + " / " + sumBy("namespace", "tickcast_connections{"+oneFleet+"}")},
			}},
		}},
		{"From market to subscriber", []panel{
			{"Published", "short", "Ticks that feeds gave a number to, a second.", []query{
				{"{{source}} {{channel}}", sumBy("source, channel", rate("tickcast_feed_events_total", oneFleet))},
			}},
			total("Events out", "short", "Handed to sockets, a second.", rate("tickcast_events_sent_total", oneFleet)),
			total("Egress", "Bps", "On the wire.", rate("tickcast_wire_bytes_sent_total", oneFleet)),
		}},
		{"How late, 99 %", []panel{
			p99("Market to node", "From a tick's own time to its arrival.", "tickcast_upstream_lag_seconds"),
			p99("Node to socket", "The longest wait of each flush.", "tickcast_delivery_seconds"),
			p99("Turn of a loop", "What everybody on the loop waits for.", "tickcast_loop_turn_seconds"),
		}},
		{"What is wrong", []panel{
			{"Ticks lost", "short", "A second: between feed and node, and by a feed that NATS was away from.", []query{
				{"{{instance}}", rate("tickcast_upstream_lost_total", oneFleet)},
				{"feed {{instance}}", rate("tickcast_feed_lost_total", oneFleet)},
			}},
			{"Refused", "short", "A second: ticks and lines that are none.", []query{
				{"ticks, feed", sumBy("namespace", rate("tickcast_feed_refused_total", oneFleet))},
				{"lines of {{source}}", sumBy("source", rate("tickcast_feed_rejected_lines_total", oneFleet))},
				{"messages, nodes", sumBy("namespace", rate("tickcast_upstream_bad_total", oneFleet))},
			}},
			{"NATS", "short", "1 is connected.", []query{
				{"{{instance}}", "tickcast_upstream_connected{" + oneFleet + "}"},
				{"feed {{instance}}", "tickcast_feed_connected{" + oneFleet + "}"},
			}},
			{"Connections that end", "short", "A second, by close code.", []query{
				{"{{code}}", sumBy("code", rate("tickcast_connections_closed_total", oneFleet)) + " > 0"},
			}},
		}},
	}}
}
