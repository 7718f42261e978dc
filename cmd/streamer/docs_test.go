package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tickcast/tickcast/internal/certs"
	"github.com/tickcast/tickcast/internal/certtest"
	"github.com/tickcast/tickcast/internal/house"
	"github.com/tickcast/tickcast/internal/tracing"
	"github.com/tickcast/tickcast/internal/uplink"
	"github.com/tickcast/tickcast/internal/version"
	"github.com/tickcast/tickcast/pkg/bus"
	"github.com/tickcast/tickcast/pkg/stream"
)

func TestOptionsAreDocumented(t *testing.T) { house.CheckOptions(t, &opts{}, "## Options of streamer") }

func newTracer(t *testing.T) *tracing.Tracer {
	t.Helper()
	tracer, err := tracing.New(tracing.Config{Service: "test", Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tracer.Close)
	return tracer
}

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
	dir := t.TempDir()
	files := certs.Files{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	cert, key := certtest.PEM(t, "node", time.Now().Add(time.Hour))
	if err := errors.Join(os.WriteFile(files.Cert, cert, 0o600), os.WriteFile(files.Key, key, 0o600)); err != nil {
		t.Fatal(err)
	}
	keeper, err := certs.New(files, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(node, certificateExpiry(keeper), version.Metric(), newTracer(t))
	house.CheckMetrics(t, registry, "### Metrics of streamer")

	ended, end := context.WithCancel(t.Context())
	end()
	if err := node.Run(ended); err != nil { // gives back what New took
		t.Error(err)
	}
}
