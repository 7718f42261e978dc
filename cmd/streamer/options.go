package main

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/internal/certs"
	"github.com/tickcast/tickcast/internal/logging"
	"github.com/tickcast/tickcast/internal/options"
	"github.com/tickcast/tickcast/pkg/auth"
	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/bus"
	"github.com/tickcast/tickcast/pkg/eventloop"
	"github.com/tickcast/tickcast/pkg/stream"
)

const about = "Streamer takes market data from NATS and pushes it to WebSocket subscribers. " +
	"Every option can be set in the environment and in a YAML file too; a flag comes first, then the environment, then the file."

// opts are the program's options; docs/operations.md has the same table.
type opts struct {
	options.File
	logging.Options

	Addr      string `default:":8080" help:"Where subscribers connect: the page, /v1/stream, /v1/symbols, /v1/snapshot."`
	AdminAddr string `default:"127.0.0.1:9090" help:"Where operators connect: /metrics, /healthz, /readyz, /v1/sessions, /debug/pprof."`
	Name      string `help:"This node's name in hello and logs; the host name if empty." placeholder:"NAME"`

	TLSCert     string `name:"tls-cert" help:"PEM file: serve TLS at --addr with this certificate, and what chains it to a root. Reread when it changes." placeholder:"FILE"`
	TLSKey      string `name:"tls-key" help:"PEM file: its private key." placeholder:"FILE"`
	TLSClientCA string `name:"tls-client-ca" help:"PEM file: roots of the client certificates that are then required." placeholder:"FILE"`

	Nats       string `default:"nats://127.0.0.1:4222" help:"NATS servers, comma-separated; \"embedded\" starts one inside the process."`
	Replicas   int    `name:"nats-replicas" default:"1" help:"In how many servers of a NATS cluster its memory is kept, where this program comes first."`
	NatsCA     string `help:"PEM file: roots of the NATS servers' certificates; the system's if empty." placeholder:"FILE"`
	NatsCreds  string `name:"nats-credentials" help:"A .creds file for NATS, or an nkey's seed; reread for each connection." placeholder:"FILE"`
	NatsListen string `help:"Where an embedded NATS listens for other processes; nowhere if empty." placeholder:"HOST:PORT"`

	Demo      bool     `help:"The whole system in one process: embedded NATS, a feed and the node."`
	Recording string   `name:"file" help:"With --demo: play this recording, over and over, instead of the simulator." placeholder:"PATH"`
	Rate      float64  `default:"1000" help:"With --demo: the simulator's events a second."`
	Speed     float64  `default:"1" help:"With --demo --file: times the recorded speed."`
	Symbol    []string `name:"symbols" help:"With --demo: the simulator's symbols, or how many." placeholder:"A,B"`

	Auth        string        `default:"none" enum:"none,jwt" help:"Who may connect: none asks for no credentials, jwt for a token."`
	JWTKeyFile  string        `name:"jwt-key-file" help:"Keys that tokens are signed with: PEM public keys, or a raw HMAC secret; reread when it changes." placeholder:"FILE"`
	JWTJWKSURL  string        `name:"jwt-jwks-url" help:"Or a JSON Web Key Set, fetched again as it rotates; https, or http on this machine." placeholder:"URL"`
	JWTIssuer   string        `name:"jwt-issuer" help:"What a token's iss must be; not checked if empty." placeholder:"ISS"`
	JWTAudience string        `name:"jwt-audience" help:"What a token's aud must hold; not checked if empty." placeholder:"AUD"`
	JWTExp      bool          `name:"jwt-require-exp" help:"Refuse tokens without exp, which never run out."`
	JWTDenyFile string        `name:"jwt-deny-file" help:"Tokens and subjects to let in no more, lines of jti:ID or sub:NAME; reread when it changes." placeholder:"FILE"`
	AuthTimeout time.Duration `default:"5s" help:"With --auth jwt: how long a connection may take to authenticate."`

	MaxConnectionsPerAddress int           `default:"0" help:"Connections of one client address, under IPv6 of one /64; 0 sets no bound."`
	MaxConnectionsPerToken   int           `default:"0" help:"Connections of one token's subject, which the token may lower; 0 sets no bound."`
	MaxHTTPConnections       int           `name:"max-http-connections" default:"5000" help:"Connections that are no WebSocket, or not yet; beyond it who has waited longest is closed, or the new one."`
	HandshakesPerSecond      int           `default:"2000" help:"Upgrades beyond this rate wait, and get 503 if that would take over 2s; so do requests of pages, apart from them."`
	RequestsPerSecond        int           `default:"100" help:"Requests of one connection; five seconds' worth may come at once."`
	PageRequestsPerSecond    int           `default:"100" help:"Requests of one client address for anything but the stream; five seconds' worth may come at once."`
	HeaderTimeout            time.Duration `default:"10s" help:"How long a request's header may take to arrive; twice that for all of it."`
	MaxHeaderBytes           options.Bytes `default:"16KiB" help:"The largest header of a request."`
	TrustedProxies           []string      `help:"Addresses or networks of proxies whose word on the client's address counts." placeholder:"CIDR"`
	ProxyProtocol            bool          `help:"Trusted proxies begin each connection with a PROXY header, version 1 or 2; one without it is refused."`
	DelayBytes               options.Bytes `default:"256MiB" help:"What may be held back for the holders of delayed tokens, for each delay; the oldest is lost beyond it."`
	Pprof                    bool          `help:"Show /debug/pprof on an --admin-addr that is not loopback, too."`

	AllowedOrigins []string      `help:"Browser origins that may connect beside the node's own host; * for all." placeholder:"ORIGIN"`
	MaxConnections int           `default:"15000" help:"Upgrades beyond this many connections get 503."`
	MaxSymbols     int           `default:"1000" help:"Different symbols that a connection may name."`
	Compression    bool          `default:"true" negatable:"" help:"Offer permessage-deflate."`
	Engine         string        `default:"auto" enum:"auto,epoll,goroutine" help:"What drives the sockets: epoll (Linux), or goroutine (gws throughout); auto is the best that the system has."`
	BatchInterval  time.Duration `default:"5ms" help:"Events that come within this time after a batch leave together in the next; 0 waits for nothing."`
	Heartbeat      time.Duration `default:"15s" help:"The longest silence on a connection."`
	Policy         string        `help:"What slow subscribers get, per channel." default:"trade=drop_oldest,quote=conflate,bar=conflate"`
	PendingBytes   options.Bytes `default:"1MiB" help:"A connection's budget for what it has yet to take."`
	NodePending    options.Bytes `name:"node-pending-bytes" default:"512MiB" help:"The memory that all slow connections together may hold; beyond it the worst give first."`
	SlowTimeout    time.Duration `default:"10s" help:"How long a connection may stay over its budget, or take nothing, before it is cut; and a page take to be read."`
	History        time.Duration `default:"60s" help:"How far back a resume reaches; 10,000 trades of a stream at the least."`
	HistoryBytes   options.Bytes `default:"64MiB" help:"Bound of the recent trades held in memory; the rest is read from NATS."`
	Drain          time.Duration `default:"10s" help:"How long a stopping node spreads its goodbyes."`
	TraceEvery     int           `default:"0" help:"Above 0: go on with the OpenTelemetry traces that a feed begins, which go to OTEL_EXPORTER_OTLP_ENDPOINT; with --demo, begin one for one tick in so many."`
}

// Validate reports every problem.
func (o *opts) Validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	errs = append(errs, options.CheckAddress("addr", o.Addr), options.CheckAddress("admin-addr", o.AdminAddr))
	bad((o.TLSCert == "") != (o.TLSKey == ""), "--tls-cert and --tls-key go together")
	bad(o.TLSClientCA != "" && o.TLSCert == "", "--tls-client-ca goes with --tls-cert")
	for _, option := range []string{"file", "rate", "symbols", "speed"} {
		bad(!o.Demo && o.Given(option), "--%s goes with --demo", option)
	}
	for _, option := range []string{"rate", "symbols"} {
		bad(o.Demo && o.Recording != "" && o.Given(option), "--%s is for the simulator, and --file plays a recording", option)
	}
	bad(o.Demo && o.Recording == "" && o.Given("speed"), "--speed goes with --file")
	bad(o.Demo && o.Given("nats") && o.Nats != bus.Embedded, "--nats and --demo exclude each other: the demo has a NATS of its own")
	bad(!(o.Rate >= 0), "--rate %v is not 0 or more", o.Rate) // NaN is neither
	bad(!(o.Speed >= 0), "--speed %v is not 0 or more", o.Speed)
	bad(o.Replicas == 0, "--nats-replicas 0: 1 to 5") // what else is wrong is for the bus's own check
	bad(o.Drain < 0, "--drain %s is below 0", o.Drain)
	bad(o.TraceEvery < 0, "--trace-every %d is below 0", o.TraceEvery)
	bad(o.HeaderTimeout <= 0, "--header-timeout %s is not above 0", o.HeaderTimeout)
	bad(o.MaxHeaderBytes < 1<<10, "--max-header-bytes %d is below 1KiB", o.MaxHeaderBytes)
	bad(o.DelayBytes < 1<<20, "--delay-bytes %d is below 1MiB", o.DelayBytes)
	_, err := o.trustedProxies()
	bad(err != nil, "--trusted-proxies: %w", err)
	bad(o.ProxyProtocol && len(o.TrustedProxies) == 0, "--proxy-protocol goes with --trusted-proxies")
	for _, n := range []struct {
		option string
		value  int
	}{
		{"max-connections", o.MaxConnections}, {"max-http-connections", o.MaxHTTPConnections}, {"max-symbols", o.MaxSymbols},
		{"handshakes-per-second", o.HandshakesPerSecond}, {"requests-per-second", o.RequestsPerSecond},
		{"page-requests-per-second", o.PageRequestsPerSecond},
	} {
		bad(n.value == 0, "--%s 0 is below 1", n.option) // what is below is for the node's own check
	}
	for _, d := range []struct {
		option string
		value  time.Duration
	}{{"auth-timeout", o.AuthTimeout}, {"slow-timeout", o.SlowTimeout}, {"heartbeat", o.Heartbeat}, {"history", o.History}} {
		bad(d.value == 0, "--%s 0s is not above 0", d.option)
	}
	for _, b := range []struct {
		option string
		value  options.Bytes
	}{{"pending-bytes", o.PendingBytes}, {"node-pending-bytes", o.NodePending}, {"history-bytes", o.HistoryBytes}} {
		bad(b.value == 0, "--%s 0 is below 1", b.option)
	}
	bad(o.BatchInterval < 0, "--batch-interval %s is below 0", o.BatchInterval)
	for _, origin := range o.AllowedOrigins {
		bad(!isOrigin(origin), "--allowed-origins: %q is none like https://example.com, example.com:8443 or *", origin)
	}
	switch {
	case o.Auth == "jwt":
		errs = append(errs, options.Dashed(o.authConfig().Validate()))
	case o.authConfig() != (auth.Config{}):
		bad(true, "the --jwt options go with --auth jwt")
	}
	if _, err := backpressure.ParseDefaults(o.Policy); err != nil {
		errs = append(errs, fmt.Errorf("--policy: %w", err))
	}
	errs = append(errs, options.Dashed(o.busConfig().Validate()))
	return errors.Join(append(errs, options.Dashed(o.nodeConfig().Validate()))...)
}

// isOrigin says whether a browser could name it as a page's origin, or as the host of one.
func isOrigin(s string) bool {
	if s == "*" {
		return true
	}
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	return err == nil && u.Hostname() != "" && (u.Scheme == "http" || u.Scheme == "https") && *u == url.URL{Scheme: u.Scheme, Host: u.Host}
}

// readEvery is how long ticks gather in the socket from NATS, where no batching window ends before
// (stream.Node.ReadBy): gathered there for as long, they leave as they are read, and no later than
// they would have. In a long window they are read now and then, so that the socket has room.
func readEvery(batch time.Duration) time.Duration {
	return min(max(batch, 0), 5*time.Millisecond) // Validate reports what is below
}

func (o *opts) busConfig() bus.Config {
	c := bus.Config{Servers: o.Nats, Listen: o.NatsListen, Replicas: o.Replicas, CAFile: o.NatsCA, CredentialsFile: o.NatsCreds, Name: "tickcast streamer " + o.name(), ReadEvery: readEvery(o.BatchInterval)}
	if o.Demo {
		c.Servers = bus.Embedded
	}
	return c
}

// vanishMin is the least time after which a subscriber that acknowledges nothing is given up.
// It is longer than the slow timeout, because the kernel counts a peer that acknowledges and
// has no room as one of those, and the slow should get their goodbye.
const vanishMin = 30 * time.Second

func (o *opts) listenConfig(keeper *certs.Keeper, log *zap.Logger) eventloop.ListenConfig {
	c := eventloop.ListenConfig{
		VanishAfter: max(vanishMin, 2*o.SlowTimeout),
		Full:        func(err error) { log.Warn("no connection can be accepted; waiting", zap.Error(err)) },
	}
	if keeper != nil {
		c.TLS = keeper.Config()
	}
	if o.ProxyProtocol {
		proxies, _ := o.trustedProxies() // Validate reports its error
		c.FromProxy = func(a netip.Addr) bool { return stream.Trusts(proxies, a) }
	}
	return c
}

// trustedProxies reads networks (10.0.0.0/8) and single addresses.
func (o *opts) trustedProxies() (all []netip.Prefix, err error) {
	for _, s := range o.TrustedProxies {
		p, err := netip.ParsePrefix(s)
		if a, aErr := netip.ParseAddr(s); aErr == nil {
			p, err = a.Prefix(a.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("%q is no address or network", s)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

func (o *opts) authConfig() auth.Config {
	return auth.Config{KeyFile: o.JWTKeyFile, JWKSURL: o.JWTJWKSURL, Issuer: o.JWTIssuer, Audience: o.JWTAudience, RequireExpiry: o.JWTExp, DenyFile: o.JWTDenyFile}
}

// verifier is nil where no token is asked for.
func (o *opts) verifier(log *zap.Logger) (*auth.Verifier, error) {
	if o.Auth != "jwt" {
		return nil, nil
	}
	c := o.authConfig()
	c.Log = log.Named("auth")
	v, err := auth.New(c)
	return v, options.Dashed(err)
}

func (o *opts) nodeConfig() stream.Config {
	policies, _ := backpressure.ParseDefaults(o.Policy) // Validate reports its error
	proxies, _ := o.trustedProxies()
	batch := o.BatchInterval
	if batch == 0 {
		batch = -1
	}
	engine := o.Engine
	if engine == "auto" {
		engine = ""
	}
	return stream.Config{
		Engine: engine, Name: o.name(), Heartbeat: o.Heartbeat, BatchEvery: batch, Policies: &policies,
		PendingBytes: int(o.PendingBytes), NodePendingBytes: int(o.NodePending), SlowTimeout: o.SlowTimeout,
		History: o.History, HistoryBytes: int(o.HistoryBytes),
		MaxConnections: o.MaxConnections, MaxSymbols: o.MaxSymbols,
		AuthTimeout: o.AuthTimeout, PerAddress: o.MaxConnectionsPerAddress, PerToken: o.MaxConnectionsPerToken,
		MaxHTTPConnections: o.MaxHTTPConnections, HandshakesPerSecond: o.HandshakesPerSecond,
		RequestsPerSecond: o.RequestsPerSecond, PageRequestsPerSecond: o.PageRequestsPerSecond, TrustedProxies: proxies, DelayBytes: int(o.DelayBytes),
		AllowedOrigins: o.AllowedOrigins, NoCompression: !o.Compression,
	}
}

func (o *opts) name() string {
	if o.Name != "" {
		return o.Name
	}
	host, err := os.Hostname()
	if err != nil {
		return "node"
	}
	return strings.SplitN(host, ".", 2)[0]
}
