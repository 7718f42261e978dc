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
	"net/netip"
	"os"
	"os/signal"
	"strings"
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
	p, err := prepare(&o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "streamer:", err)
		return options.ExitUsage
	}
	defer func() { _ = p.log.Sync() }()
	if p.tracer != nil {
		defer p.tracer.Close()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := p.serve(ctx); err != nil {
		p.log.Error("streamer ends", zap.Error(err))
		return 1
	}
	return 0
}

// A program is what the options ask for, read and checked, before anything listens.
type program struct {
	*opts
	log      *zap.Logger
	demo     feed.Source     // nil without --demo
	keeper   *certs.Keeper   // nil without TLS
	verifier *auth.Verifier  // nil without tokens
	tracer   *tracing.Tracer // nil without traces
}

// prepare reads the files that the options name. What it finds wrong is the operator's to mend.
func prepare(o *opts) (p *program, err error) {
	p = &program{opts: o}
	if p.log, err = logging.New(o.Options); err != nil {
		return nil, err
	}
	if o.Demo {
		if p.demo, err = o.demoSource(p.log); err != nil {
			return nil, err
		}
	}
	if o.TLSCert != "" {
		p.keeper, err = certs.New(certs.Files{Cert: o.TLSCert, Key: o.TLSKey, ClientCA: o.TLSClientCA}, p.log.Named("tls"))
		if err != nil {
			return nil, fmt.Errorf("--tls-cert, --tls-key, --tls-client-ca: %w", err)
		}
	}
	if p.verifier, err = o.verifier(p.log); err != nil {
		return nil, err
	}
	if o.TraceEvery > 0 {
		p.tracer, err = tracing.New(tracing.Config{Service: "tickcast-streamer", Instance: o.name(), Log: p.log.Named("tracing")})
	}
	return p, err
}

const (
	idleTimeout  = time.Minute
	closeTimeout = 2 * time.Second
	turnTimeout  = 2 * time.Second // the most that a request waits before it is answered
	// readyWait is how long the ready line waits for NATS: a node without it serves too,
	// and says so under /readyz.
	readyWait = 2 * time.Second
)

// serve runs the node, and the feed of a demo, until ctx ends, then drains the node. Sockets
// first: a port that is taken should be all that the operator hears of.
func (p *program) serve(ctx context.Context) error {
	public, err := eventloop.Listen(p.Addr, p.listenConfig(p.keeper, p.log))
	if err != nil {
		return fmt.Errorf("--addr: %w", err)
	}
	admin, err := net.Listen("tcp", p.AdminAddr)
	if err != nil {
		return errors.Join(fmt.Errorf("--admin-addr: %w", err), public.Close())
	}
	config := p.busConfig()
	config.Log = p.log.Named("bus")
	b, err := bus.Connect(ctx, config)
	if err != nil {
		return errors.Join(err, public.Close(), admin.Close())
	}
	defer b.Close()
	node, err := p.newNode(b)
	if err != nil {
		return errors.Join(err, public.Close(), admin.Close())
	}
	b.ReadBy(node.ReadBy)
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
	publicServer := p.newServer(publicMux(node))
	node.Attach(publicServer)
	// Neither a body that never comes nor a page that nobody reads keeps a place. A page may have
	// waited for its turn before. Profiles, of the other server, take longer than that.
	publicServer.ReadTimeout = 2 * p.HeaderTimeout
	publicServer.WriteTimeout = p.SlowTimeout + turnTimeout
	operators := p.adminMux(node, p.Pprof || isLoopback(admin.Addr()))
	if isLoopback(admin.Addr()) {
		operators = ownHosts(operators)
	}
	adminServer := p.newServer(operators)
	part(func() error { return node.Run(alive) })
	part(func() error { memory.Govern(alive); return nil })
	part(func() error { return publicServer.Serve(early) })
	part(func() error { return adminServer.Serve(admin) })
	if p.keeper != nil {
		part(func() error { p.keeper.Watch(alive); return nil })
	}
	if p.demo != nil {
		part(func() error { return p.runDemoFeed(alive, b) })
	}

	p.announce(ctx, alive, b, public.Addr(), admin.Addr())
	select {
	case <-ctx.Done():
		node.Drain(alive, p.Drain)
	case <-alive.Done():
	}
	end(nil)
	for _, s := range []*http.Server{publicServer, adminServer} {
		shutdown(s)
	}
	parts.Wait()
	if err := context.Cause(alive); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (p *program) newNode(b *bus.Bus) (*stream.Node, error) {
	c := p.nodeConfig()
	c.Log, c.Auth = p.log.Named("stream"), p.verifier
	if p.tracer != nil {
		c.Trace = p.tracer.Node
	}
	return stream.New(c, uplink.Uplink{Bus: b})
}

// announce says that the node is ready, once NATS is there and its symbols are known, or were waited
// for, unless it ends before that.
func (p *program) announce(ctx, alive context.Context, b *bus.Bus, public, admin net.Addr) {
	wait, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	if b.Ready(wait) != nil && ctx.Err() == nil {
		p.log.Warn("NATS is not there yet: serving without data until it is")
	}
	select {
	case <-b.Known():
	case <-wait.Done():
	case <-alive.Done():
	}
	if alive.Err() != nil || ctx.Err() != nil {
		return
	}
	logging.Ready(p.log, "addr", public.String(), "admin_addr", admin.String())
	if p.demo != nil {
		p.log.Info("open the page at " + browsable(public, p.keeper != nil))
	}
}

// shutdown lets requests that are being answered end, for a while.
func shutdown(s *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if s.Shutdown(ctx) != nil {
		_ = s.Close()
	}
}

func (p *program) newServer(h http.Handler) *http.Server {
	std, _ := zap.NewStdLogAt(p.log.Named("http"), zap.DebugLevel) // fails for unknown levels only
	return &http.Server{Handler: h, ReadHeaderTimeout: p.HeaderTimeout, MaxHeaderBytes: int(p.MaxHeaderBytes), IdleTimeout: idleTimeout, ErrorLog: std}
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

func (p *program) adminMux(node *stream.Node, profiles bool) http.Handler {
	metrics := prometheus.NewRegistry()
	if p.keeper != nil {
		metrics.MustRegister(certificateExpiry(p.keeper))
	}
	if p.tracer != nil {
		metrics.MustRegister(p.tracer)
	}
	metrics.MustRegister(node, version.Metric(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	std, _ := zap.NewStdLogAt(p.log.Named("metrics"), zap.WarnLevel)
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

// ownHosts refuses requests by another name than this machine's own. The scripts of a site whose
// name leads to loopback could read the answers in an operator's browser, which always sends a
// name; probes of proxies may send none.
func ownHosts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && host != "localhost" && host != "" {
			http.Error(w, "on loopback this answers to localhost and to addresses", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
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
