// Feed is tickcast's ingester: it takes ticks from a source, numbers them, encodes each once
// and publishes them to NATS.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/tickcast/tickcast/internal/logging"
	"github.com/tickcast/tickcast/internal/options"
	"github.com/tickcast/tickcast/internal/tracing"
	"github.com/tickcast/tickcast/internal/version"
	"github.com/tickcast/tickcast/pkg/bus"
	"github.com/tickcast/tickcast/pkg/feed"
	"github.com/tickcast/tickcast/pkg/feed/replay"
	"github.com/tickcast/tickcast/pkg/feed/sim"
)

const about = "Feed publishes market data to NATS: simulated, or recorded. " +
	"Every option can be set in the environment and in a YAML file too; a flag comes first, then the environment, then the file."

// opts are the program's options; docs/operations.md has the same table.
type opts struct {
	options.File
	logging.Options

	Source    string        `default:"sim" enum:"sim,replay" help:"Where ticks come from: sim or replay."`
	Nats      string        `default:"nats://127.0.0.1:4222" help:"NATS servers, comma-separated."`
	Replicas  int           `name:"nats-replicas" default:"1" help:"In how many servers of a NATS cluster its memory is kept, where this program comes first."`
	NatsCA    string        `help:"PEM file: roots of the NATS servers' certificates; the system's if empty." placeholder:"FILE"`
	NatsCreds string        `name:"nats-credentials" help:"A .creds file for NATS, or an nkey's seed; reread for each connection." placeholder:"FILE"`
	Lease     string        `help:"Of all feeds with this lease one publishes, and the others stand by; live sources only." placeholder:"NAME"`
	AdminAddr string        `default:"127.0.0.1:0" help:"Where operators connect: /metrics, /healthz, /readyz; port 0 picks a free one."`
	Window    time.Duration `default:"1ms" help:"How long a tick may wait for others of its stream, to share a message with them: less work for nodes where there are many. It stretches by itself, up to five times, while messages are many and small. 0 publishes each at once."`
	Symbols   []string      `help:"sim: the symbols, or how many (up to 10,000); 100 of mixed kinds if empty. replay: only these." placeholder:"A,B"`
	Rate      float64       `default:"1000" help:"sim: events a second over all symbols; 0 as fast as it goes."`
	Seed      uint64        `default:"1" help:"sim: the same seed gives the same prices and order."`
	Recording string        `name:"file" help:"replay: a recording, or a folder of them." placeholder:"PATH"`
	Speed     float64       `default:"1" help:"replay: times the recorded speed; 0 as fast as it goes."`
	Loop      bool          `help:"replay: begin again at the end."`
	Retime    bool          `help:"replay: move the recorded times to now."`

	TraceEvery int `default:"0" help:"Follow one trade or quote in so many to the sockets, as an OpenTelemetry trace that goes to OTEL_EXPORTER_OTLP_ENDPOINT; 0 follows none."`
}

var leaseName = regexp.MustCompile(`^[A-Za-z0-9_-]*$`)

// Validate reports every problem.
func (o *opts) Validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	errs = append(errs, options.CheckAddress("admin-addr", o.AdminAddr))
	bad(o.Source == "replay" && o.Recording == "", "--source replay needs --file")
	for _, option := range []string{"file", "speed", "loop", "retime"} {
		bad(o.Source != "replay" && o.Given(option), "--%s goes with --source replay", option)
	}
	for _, option := range []string{"rate", "seed"} {
		bad(o.Source != "sim" && o.Given(option), "--%s goes with --source sim", option)
	}
	bad(o.Nats == bus.Embedded, "--nats embedded is for the streamer; a feed needs a server")
	bad(!(o.Speed >= 0), "--speed %v is not 0 or more", o.Speed) // NaN is neither
	bad(!(o.Rate >= 0), "--rate %v is not 0 or more", o.Rate)
	bad(o.Replicas == 0, "--nats-replicas 0: 1 to 5") // what else is wrong is for the bus's own check
	bad(o.Lease != "" && (o.Source == "replay" || o.Rate == 0), "--lease is for live sources: this one can wait, and would lose what it has published to another")
	bad(o.Window < 0 || o.Window > time.Second, "--window %s is not 0 to 1s", o.Window)
	bad(o.TraceEvery < 0, "--trace-every %d is below 0", o.TraceEvery)
	bad(!leaseName.MatchString(o.Lease), "--lease %q: letters, digits, - and _ only", o.Lease)
	return errors.Join(append(errs, options.Dashed(o.busConfig().Validate()))...)
}

func (o *opts) busConfig() bus.Config {
	return bus.Config{Servers: o.Nats, Replicas: o.Replicas, CAFile: o.NatsCA, CredentialsFile: o.NatsCreds, Name: "tickcast feed"}
}

func (o *opts) source(log *zap.Logger) (s feed.Source, err error) {
	if o.Source == "replay" {
		s, err = replay.New(o.Recording, replay.Config{Speed: o.Speed, Loop: o.Loop, Retime: o.Retime, Symbols: o.Symbols}, log.Named("replay"))
	} else {
		s, err = sim.New(sim.Config{Symbols: o.Symbols, Rate: o.Rate, Seed: o.Seed})
	}
	return s, options.Dashed(err)
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	var o opts
	err := options.Read("feed", about, &o, args, os.Stdout)
	if errors.Is(err, options.ErrHelp) {
		return 0
	}
	var log *zap.Logger
	if err == nil {
		log, err = logging.New(o.Options)
	}
	var source feed.Source
	if err == nil {
		source, err = o.source(log)
	}
	var tracer *tracing.Tracer // nil without
	if err == nil && o.TraceEvery > 0 {
		tracer, err = tracing.New(tracing.Config{Service: "tickcast-feed", Log: log.Named("tracing")})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "feed:", err)
		return options.ExitUsage
	}
	defer func() { _ = log.Sync() }()
	if tracer != nil {
		defer tracer.Close()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := publish(ctx, &o, source, tracer, log); err != nil {
		log.Error("feed ends", zap.Error(err))
		return 1
	}
	return 0
}

// waitLine is how often a feed that waits for NATS says so.
const waitLine = 5 * time.Second

// publish runs the feed until its source ends or ctx does.
func publish(ctx context.Context, o *opts, source feed.Source, tracer *tracing.Tracer, log *zap.Logger) error {
	admin, err := net.Listen("tcp", o.AdminAddr)
	if err != nil {
		return fmt.Errorf("--admin-addr: %w", err)
	}
	config := o.busConfig()
	config.Log = log.Named("bus")
	b, err := bus.Connect(ctx, config)
	if err != nil {
		return errors.Join(err, admin.Close())
	}
	defer b.Close()
	cfg := feed.Config{Window: o.Window}
	if o.Window == 0 {
		cfg.Window = -1
	}
	if o.Lease != "" {
		lease := b.NewLease(o.Lease)
		cfg.Lease = lease
		defer keep(lease)()
	}
	if tracer != nil {
		cfg.Trace, cfg.TraceEvery = tracer.Feed, o.TraceEvery
	}
	f := feed.New(source, b, cfg, log.Named("feed"))
	server := &http.Server{Handler: adminMux(newMetrics(o.Source, source, f, func() bool { return b.Status().Connected }), tracer), ReadHeaderTimeout: 10 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(admin) })
	defer serving.Wait()
	defer func() { _ = server.Close() }()

	for ready := false; !ready; {
		wait, cancel := context.WithTimeout(ctx, waitLine)
		ready = b.Ready(wait) == nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case !ready:
			log.Warn("waiting for NATS", zap.String("servers", b.Status().URL))
		}
	}
	logging.Ready(log, "nats", b.Status().URL, "admin_addr", admin.Addr().String())
	return f.Run(ctx)
}

// keep runs the lease until the function that it returns is called, which gives it up.
func keep(lease *bus.Lease) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { lease.Run(ctx) })
	return func() { cancel(); running.Wait() }
}

func adminMux(m *feedMetrics, tracer *tracing.Tracer) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(m, version.Metric(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if tracer != nil {
		registry.MustRegister(tracer)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !m.connected() {
			http.Error(w, "not connected to NATS", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	return mux
}
