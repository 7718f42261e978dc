// Package tracing follows single ticks from a feed to subscribers' sockets as OpenTelemetry
// traces, and sends them by OTLP over HTTP, as the OTEL_ variables of the environment say. It
// alone knows OpenTelemetry. The spans of a trace:
//
//	feed                taken from the source ... published, by the feed
//	└ nats              published ... received, by each node that gets the message
//	  └ node            received ... handed to sockets, by each shard with subscribers
//	    └ socket        batch begun ... handed to the socket, for a few sessions of it
//
// Where feed and node have different clocks, nats is longer or shorter by the difference, and
// never below zero.
//
// A [Tracer] never waits for the collector. What it cannot get rid of it drops and counts.
package tracing
