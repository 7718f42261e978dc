// Streamer is a node of tickcast: it subscribes at NATS to what its subscribers want, and
// pushes it to them as batched WebSocket messages. With --demo it is the whole system.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/tickcast/tickcast/internal/certs"
	"github.com/tickcast/tickcast/internal/logging"
	"github.com/tickcast/tickcast/internal/memory"
	"github.com/tickcast/tickcast/internal/options"
	"github.com/tickcast/tickcast/internal/tracing"
	"github.com/tickcast/tickcast/internal/uplink"
	"github.com/tickcast/tickcast/internal/version"
	"github.com/tickcast/tickcast/pkg/auth"
	"github.com/tickcast/tickcast/pkg/bus"
	"github.com/tickcast/tickcast/pkg/eventloop"
	"github.com/tickcast/tickcast/pkg/feed"
	"github.com/tickcast/tickcast/pkg/stream"
	"github.com/tickcast/tickcast/web"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	var o opts
	switch err := options.Read("streamer", about, &o, args, os.Stdout); {
	case errors.Is(err, options.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "streamer:", err)
		return options.ExitUsage
	}
	log, err := logging.New(o.Options)
	var demo feed.Source
	if err == nil && o.Demo {
		demo, err = o.demoSource(log)
	}
	var keeper *certs.Keeper
	if err == nil && o.TLSCert != "" {
		keeper, err = certs.New(certs.Files{Cert: o.TLSCert, Key: o.TLSKey, ClientCA: o.TLSClientCA}, log.Named("tls"))
		if err != nil {
			err = fmt.Errorf("--tls-cert, --tls-key, --tls-client-ca: %w", err)
		}
	}
	var verifier *auth.Verifier
	if err == nil {
		verifier, err = o.verifier(log)
	}
	var tracer *tracing.Tracer // nil without
	if err == nil && o.TraceEvery > 0 {
		tracer, err = tracing.New(tracing.Config{Service: "tickcast-streamer", Instance: o.name(), Log: log.Named("tracing")})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "streamer:", err)
		return options.ExitUsage
	}
	defer func() { _ = log.Sync() }()
	if tracer != nil {
		defer tracer.Close()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := serve(ctx, &o, keeper, demo, verifier, tracer, log); err != nil {
		log.Error("streamer ends", zap.Error(err))
		return 1
	}
	return 0
}

const (
	idleTimeout  = time.Minute
	closeTimeout = 2 * time.Second
	// readyWait is how long the ready line waits for NATS: a node without it serves too,
	// and says so under /readyz.
	readyWait = 2 * time.Second
)

// serve runs the node, and the feed of a demo, until ctx ends, then drains the node. Sockets
// first: a port that is taken should be all that the operator hears of.
func serve(ctx context.Context, o *opts, keeper *certs.Keeper, demo feed.Source, verifier *auth.Verifier, tracer *tracing.Tracer, log *zap.Logger) error {
	public, err := eventloop.Listen(o.Addr, o.listenConfig(keeper, log))
	if err != nil {
		return err
	}
	admin, err := net.Listen("tcp", o.AdminAddr)
	if err != nil {
		return errors.Join(err, public.Close())
	}

	busConfig, nodeConfig := o.busConfig(), o.nodeConfig()
	busConfig.Log, nodeConfig.Log = log.Named("bus"), log.Named("stream")
	nodeConfig.Auth = verifier
	var demoConfig feed.Config
	if tracer != nil {
		nodeConfig.Trace, demoConfig.Trace, demoConfig.TraceEvery = tracer.Node, tracer.Feed, o.TraceEvery
	}
	b, err := bus.Connect(ctx, busConfig)
	if err != nil {
		return errors.Join(err, public.Close(), admin.Close())
	}
	defer b.Close()
	node, err := stream.New(nodeConfig, uplink.Uplink{Bus: b})
	if err != nil {
		return errors.Join(err, public.Close(), admin.Close())
	}
	early, err := node.Early(public)
	if err != nil {
		return errors.Join(err, public.Close(), admin.Close())
	}

	alive, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	var parts sync.WaitGroup
	part := func(run func() error) {
		parts.Go(func() {
			if err := run(); err != nil && !errors.Is(err, http.ErrServerClosed) {
				end(err)
			}
		})
	}
	publicServer := newServer(o, publicMux(node), log)
	node.Attach(publicServer)
	adminServer := newServer(o, adminMux(node, keeper, tracer, o.Pprof || isLoopback(admin.Addr()), log), log)
	part(func() error { return node.Run(alive) })
	part(func() error { memory.Govern(alive); return nil })
	part(func() error { return publicServer.Serve(early) })
	part(func() error { return adminServer.Serve(admin) })
	if keeper != nil {
		part(func() error { keeper.Watch(alive); return nil })
	}
	if demo != nil {
		part(func() error { return runDemoFeed(alive, demo, demoConfig, b, log) })
	}

	wait, cancel := context.WithTimeout(ctx, readyWait)
	if b.Ready(wait) != nil && ctx.Err() == nil {
		log.Warn("NATS is not there yet: serving without data until it is")
	}
	cancel()
	if alive.Err() == nil && ctx.Err() == nil {
		logging.Ready(log, "addr", public.Addr().String(), "admin_addr", admin.Addr().String())
		if demo != nil {
			log.Info("open the page at " + browsable(public.Addr(), keeper != nil))
		}
	}

	select {
	case <-ctx.Done():
		node.Drain(alive, o.Drain)
	case <-alive.Done():
	}
	end(nil)
	for _, s := range []*http.Server{publicServer, adminServer} {
		c, cancel := context.WithTimeout(context.Background(), closeTimeout)
		if s.Shutdown(c) != nil {
			_ = s.Close()
		}
		cancel()
	}
	parts.Wait()
	if err := context.Cause(alive); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func newServer(o *opts, h http.Handler, log *zap.Logger) *http.Server {
	std, _ := zap.NewStdLogAt(log.Named("http"), zap.DebugLevel) // fails for unknown levels only
	return &http.Server{Handler: h, ReadHeaderTimeout: o.HeaderTimeout, MaxHeaderBytes: int(o.MaxHeaderBytes), IdleTimeout: idleTimeout, ErrorLog: std}
}

func publicMux(node *stream.Node) http.Handler {
	mux := http.NewServeMux()
	node.Register(mux)
	mux.Handle("/", web.Handler())
	return mux
}

// certificateExpiry is a metric of a node that serves TLS.
func certificateExpiry(k *certs.Keeper) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tickcast_tls_certificate_expiry_seconds", Help: "When the TLS certificate in use runs out, in Unix seconds.",
	}, func() float64 { return float64(k.NotAfter().Unix()) })
}

func adminMux(node *stream.Node, keeper *certs.Keeper, tracer *tracing.Tracer, profiles bool, log *zap.Logger) http.Handler {
	metrics := prometheus.NewRegistry()
	if keeper != nil {
		metrics.MustRegister(certificateExpiry(keeper))
	}
	if tracer != nil {
		metrics.MustRegister(tracer)
	}
	metrics.MustRegister(node, version.Metric(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	std, _ := zap.NewStdLogAt(log.Named("metrics"), zap.WarnLevel)
	mux := http.NewServeMux()
	node.RegisterAdmin(mux)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{ErrorLog: std}))
	if !profiles {
		return mux
	}
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	return mux
}

// isLoopback says that nobody outside this machine can reach the listener.
func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// browsable turns the address of a listener into one that a browser on this machine opens.
func browsable(a net.Addr, secure bool) string {
	host, scheme := a.String(), "http://"
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		host = fmt.Sprintf("localhost:%d", tcp.Port)
	}
	if secure {
		scheme = "https://"
	}
	return scheme + host
}
