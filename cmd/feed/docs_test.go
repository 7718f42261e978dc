package main

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tickcast/tickcast/internal/house"
	"github.com/tickcast/tickcast/internal/tracing"
	"github.com/tickcast/tickcast/internal/version"
	"github.com/tickcast/tickcast/pkg/feed"
	"github.com/tickcast/tickcast/pkg/feed/sim"
)

func TestOptionsAreDocumented(t *testing.T) { house.CheckOptions(t, &opts{}, "## Options of feed") }

func TestMetricsAreDocumented(t *testing.T) {
	source, err := sim.New(sim.Config{})
	if err != nil {
		t.Fatal(err)
	}
	tracer, err := tracing.New(tracing.Config{Service: "test", Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer tracer.Close()
	registry := prometheus.NewRegistry()
	registry.MustRegister(newMetrics("sim", source, feed.New(source, nil, feed.Config{}, zap.NewNop()), func() bool { return true }), version.Metric(), tracer)
	house.CheckMetrics(t, registry, "### Metrics of feed")
}
