package stream

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/auth"
	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/market"
)

// Config tunes a node. The zero value works.
type Config struct {
	// Name tells nodes apart in hello, logs and metrics. Empty means "node".
	Name string
	// Heartbeat is the longest silence on a connection. 0 means 15s.
	Heartbeat time.Duration
	// BatchEvery is the batching window: events that arrive within it after a flush leave
	// together. 0 means 5ms; <0 flushes every turn.
	BatchEvery time.Duration
	// Policies are the defaults per channel; nil means backpressure.Default of each.
	Policies *[market.Channels]backpressure.Policy
	// PendingBytes is a connection's budget for what it has yet to take. 0 means 1 MiB.
	PendingBytes int
	// NodePendingBytes bounds the memory of all connections' budgets together: beyond it
	// those that hold the most give first. 0 means 512 MiB.
	NodePendingBytes int
	// SlowTimeout is how long a connection may stay over its budget, or take no byte while
	// some wait. 0 means 10s.
	SlowTimeout time.Duration
	// MaxConnections refuses further upgrades with 503. 0 means 15,000: below the usual
	// descriptor limit.
	MaxConnections int
	// MaxSymbols bounds the different symbols named on a connection. 0 means 1,000.
	MaxSymbols int
	// Auth checks tokens; nil asks for none. The node runs it.
	Auth *auth.Verifier
	// AuthTimeout is how long a session may take to authenticate. 0 means 5s.
	AuthTimeout time.Duration
	// PerAddress and PerToken are the most connections of one client address (under IPv6, of
	// one /64) and of one token's subject. 0 sets no bound.
	PerAddress, PerToken int
	// MaxHTTPConnections bounds the connections that are no WebSocket, or not yet; for further
	// ones those make room that have waited longest. It takes effect by Node.Attach. 0 means 5,000.
	MaxHTTPConnections int
	// HandshakesPerSecond is the rate beyond which upgrades wait, and get 503 when that would
	// take over two seconds; and pages, apart from them. 0 means 2,000.
	HandshakesPerSecond int
	// RequestsPerSecond is what a connection may ask for; five seconds' worth may come at
	// once. Further ones are refused, and who has as many refused is closed. 0 means 100.
	RequestsPerSecond int
	// PageRequestsPerSecond is how often one address may ask for anything but the stream; five
	// seconds' worth may come at once. Further requests get 429. 0 means 100.
	PageRequestsPerSecond int
	// DelayBytes bounds what is held back for the holders of delayed tokens, of one delay. The
	// oldest beyond it are lost, and seen as a gap. 0 means 256 MiB.
	DelayBytes int
	// TrustedProxies are peers whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// AllowedOrigins are browser origins that may connect beside the node's own host:
	// "https://example.com", a host, or "*" for all.
	AllowedOrigins []string
	// NoCompression keeps permessage-deflate out of the handshake.
	NoCompression bool
	// Engine drives the sockets: EngineEpoll or EngineGoroutine. Empty means the best that
	// the system has.
	Engine string
	// Shards is how many goroutines share the sessions. 0 means one per core.
	Shards int
	// Grace is how long the upstream may be away before the node calls itself not ready.
	// 0 means 10s.
	Grace time.Duration
	// Linger keeps a stream that nobody wants any more, for those who come back. 0 means 10s.
	Linger time.Duration
	// History is how far back a resume reaches, which is 10,000 trades of a stream at the
	// least. 0 means 60s. It is also how long trades are kept in memory.
	History time.Duration
	// HistoryBytes bounds those: the rest is read from the upstream's store. 0 means 64 MiB.
	HistoryBytes int
	// Trace follows the ticks that a feed has marked; nil follows none.
	Trace TraceFunc
	// Log is where the node reports; nil discards.
	Log *zap.Logger
}

// The engines.
const (
	EngineEpoll     = "epoll"     // event loops over raw sockets; Linux
	EngineGoroutine = "goroutine" // gws throughout; everywhere
)

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.Heartbeat, 15*time.Second)
	def(&c.BatchEvery, 5*time.Millisecond)
	def(&c.SlowTimeout, 10*time.Second)
	def(&c.Grace, 10*time.Second)
	def(&c.Linger, 10*time.Second)
	def(&c.History, 60*time.Second)
	if c.BatchEvery < 0 {
		c.BatchEvery = 0
	}
	if c.Name == "" {
		c.Name = "node"
	}
	if c.Engine == "" {
		c.Engine = Engines()[0]
	}
	if c.Policies == nil {
		p := [market.Channels]backpressure.Policy{}
		for _, ch := range market.AllChannels() {
			p[ch] = backpressure.Default(ch)
		}
		c.Policies = &p
	}
	if c.PendingBytes == 0 {
		c.PendingBytes = 1 << 20
	}
	if c.NodePendingBytes == 0 {
		c.NodePendingBytes = 512 << 20
	}
	if c.HistoryBytes == 0 {
		c.HistoryBytes = 64 << 20
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = 15_000
	}
	if c.MaxSymbols == 0 {
		c.MaxSymbols = 1000
	}
	def(&c.AuthTimeout, 5*time.Second)
	if c.MaxHTTPConnections == 0 {
		c.MaxHTTPConnections = 5000
	}
	if c.DelayBytes == 0 {
		c.DelayBytes = 256 << 20
	}
	if c.HandshakesPerSecond == 0 {
		c.HandshakesPerSecond = 2000
	}
	if c.RequestsPerSecond == 0 {
		c.RequestsPerSecond = 100
	}
	if c.PageRequestsPerSecond == 0 {
		c.PageRequestsPerSecond = 100
	}
	if c.Shards == 0 {
		c.Shards = min(runtime.GOMAXPROCS(0), shardsMax)
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	return c
}

const (
	pendingBytesMin     = 4 << 10 // leaves room for the events that no policy drops
	nodePendingBytesMin = 8 << 20
)

// Validate reports every problem, so that an operator needs one restart and not five.
func (c Config) Validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(c.Heartbeat != 0 && c.Heartbeat < 100*time.Millisecond, "heartbeat %s: at least 100ms", c.Heartbeat)
	bad(c.BatchEvery > time.Second, "batch-interval %s: at most 1s", c.BatchEvery)
	bad(c.SlowTimeout < 0, "slow-timeout %s: not below 0", c.SlowTimeout)
	bad(c.PendingBytes != 0 && c.PendingBytes < pendingBytesMin, "pending-bytes %d: at least %d", c.PendingBytes, pendingBytesMin)
	bad(c.NodePendingBytes != 0 && c.NodePendingBytes < max(c.PendingBytes, nodePendingBytesMin), "node-pending-bytes %d: at least %d, and not below pending-bytes", c.NodePendingBytes, nodePendingBytesMin)
	bad(c.History != 0 && c.History < time.Second, "history %s: at least 1s", c.History)
	bad(c.HistoryBytes < 0, "history-bytes %d: not below 0", c.HistoryBytes)
	bad(c.MaxConnections < 0, "max-connections %d: not below 0", c.MaxConnections)
	bad(c.MaxSymbols < 0, "max-symbols %d: not below 0", c.MaxSymbols)
	bad(c.AuthTimeout < 0, "auth-timeout %s: not below 0", c.AuthTimeout)
	bad(c.PerAddress < 0, "max-connections-per-address %d: not below 0", c.PerAddress)
	bad(c.PerToken < 0, "max-connections-per-token %d: not below 0", c.PerToken)
	bad(c.MaxHTTPConnections < 0, "max-http-connections %d: not below 0", c.MaxHTTPConnections)
	bad(c.DelayBytes < 0, "delay-bytes %d: not below 0", c.DelayBytes)
	bad(c.HandshakesPerSecond < 0, "handshakes-per-second %d: not below 0", c.HandshakesPerSecond)
	bad(c.RequestsPerSecond < 0 || c.RequestsPerSecond > 1e9, "requests-per-second %d: 0 to 1e9", c.RequestsPerSecond)
	bad(c.PageRequestsPerSecond < 0 || c.PageRequestsPerSecond > 1e9, "page-requests-per-second %d: 0 to 1e9", c.PageRequestsPerSecond)
	bad(c.Shards < 0 || c.Shards > shardsMax, "shards %d: 0 to %d", c.Shards, shardsMax)
	bad(c.Engine != "" && !slices.Contains(Engines(), c.Engine), "engine %q: this system has %s", c.Engine, strings.Join(Engines(), ", "))
	if c.Policies != nil {
		for _, ch := range market.AllChannels() {
			bad(!c.Policies[ch].Allows(ch), "policy %s=%s: not for this channel", ch, c.Policies[ch])
		}
	}
	return errors.Join(errs...)
}
