package main

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tickcast/tickcast/internal/house"
	"github.com/tickcast/tickcast/internal/uplink"
	"github.com/tickcast/tickcast/pkg/bus"
	"github.com/tickcast/tickcast/pkg/stream"
)

func TestOptionsAreDocumented(t *testing.T) { house.CheckOptions(t, &opts{}, "## Options of streamer") }

func TestMetricsAreDocumented(t *testing.T) {
	b, err := bus.Connect(t.Context(), bus.Config{Servers: bus.Embedded})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	node, err := stream.New(stream.Config{}, uplink.Uplink{Bus: b})
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(node)
	house.CheckMetrics(t, registry, "### Metrics of streamer")

	ended, end := context.WithCancel(t.Context())
	end()
	if err := node.Run(ended); err != nil { // gives back what New took
		t.Error(err)
	}
}
