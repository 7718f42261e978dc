package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

var (
	// ErrDisconnected reports that there is no connection now. The Bus keeps trying.
	ErrDisconnected = errors.New("bus: not connected to NATS")
	// ErrNoStore reports that the server has no JetStream, or not the streams we need.
	ErrNoStore = errors.New("bus: NATS stores nothing for us")
	// ErrBroken reports that the connection broke since the last Flush.
	ErrBroken = errors.New("bus: the connection broke, and may have swallowed messages")
	// ErrClosed reports use after Close.
	ErrClosed = errors.New("bus: closed")
)

// A link that carries nothing is noticed after three pings, so within 9 to 12 s. Writes give
// up sooner: a publisher blocked in one holds nats.go's lock, and the ping timer needs it too.
const (
	pingEvery    = 3 * time.Second
	pingsOutMax  = 2
	writeTimeout = 5 * time.Second
	dialTimeout  = 2 * time.Second

	// requestTimeout ends the wait for a server that has fallen silent.
	requestTimeout = 5 * time.Second

	// After a restart of NATS all nodes come back within a second, but not in one instant.
	reconnectWait   = 250 * time.Millisecond
	reconnectJitter = 750 * time.Millisecond
)

// Bus is one connection to NATS, and the embedded server where there is one.
type Bus struct {
	cfg   Config
	log   *zap.Logger
	nc    *nats.Conn
	js    jetstream.JetStream
	srv   *embedded      // nil unless Config.Servers is Embedded
	queue chan *nats.Msg // every subscription of ours -> Run

	arrived chan struct{} // the queue holds what came with one read, or several
	readBy  atomic.Pointer[func() time.Time]

	stop    context.CancelFunc // ends keep
	closing context.Context    // done once Close was called
	known   chan struct{}      // closed when Run has delivered a stored directory, by know
	know    func()
	kept    chan struct{} // closed when keep has ended
	ended   chan struct{} // closed when nats.go has made its last callback
	wake    chan struct{} // a new link for keep to settle
	lost    chan string   // reasons for Handler.Lost; one pending is enough

	breaks  atomic.Uint64 // connections that have ended
	running atomic.Bool   // Run is under way

	mu          sync.Mutex
	status      Status // but for Dropped
	refusedOnce bool
	link        *link         // nil while disconnected
	ready       chan struct{} // closed while the current link is settled
	flushedOn   uint64        // nats.go's count of reconnects at the last Flush that got an answer
	store       storeState
	hooks       []func()

	subsMu      sync.Mutex // apart from mu: nats.go may hold a Subscribe up for writeTimeout
	subs        map[string]*nats.Subscription
	droppedPast uint64 // by subscriptions that are gone
}

// A link is one connection from its beginning to its end.
type link struct {
	again bool            // not the first one
	alive context.Context // done at the end, and at Close
	end   context.CancelFunc
}

// bound returns ctx limited to the life of the link and to requestTimeout.
func (l *link) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	unhook := context.AfterFunc(l.alive, cancel)
	return ctx, func() { unhook(); cancel() }
}

// Status tells how the connection is.
type Status struct {
	Connected  bool
	Ever       bool      // connected at least once
	Since      time.Time // of the last change of Connected
	URL        string    // of the server last connected to, without password
	Reconnects uint64
	Dropped    uint64 // messages that found the queue of Run full
}

// Connect starts looking for NATS and returns without waiting for it, but for a first attempt
// that an unreachable host can draw out to 2 s per address: use Ready. It fails only
// for a bad Config and for an embedded server that cannot start, to which ctx is the limit.
func Connect(ctx context.Context, cfg Config) (*Bus, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	b := &Bus{
		cfg:     cfg,
		log:     cfg.Log,
		queue:   make(chan *nats.Msg, cfg.QueueMessages),
		arrived: make(chan struct{}, 1),
		known:   make(chan struct{}),
		kept:    make(chan struct{}),
		ended:   make(chan struct{}),
		wake:    make(chan struct{}, 1),
		lost:    make(chan string, 1),
		ready:   make(chan struct{}),
		subs:    map[string]*nats.Subscription{},
		status:  Status{Since: time.Now()},
	}
	b.know = sync.OnceFunc(func() { close(b.known) })
	b.closing, b.stop = context.WithCancel(context.Background())

	urls := cfg.urls()
	options, err := b.options()
	if err != nil {
		return nil, fmt.Errorf("bus: nats-credentials: %w", err)
	}
	if cfg.Servers == Embedded {
		srv, err := startEmbedded(ctx, cfg)
		if err != nil {
			return nil, err
		}
		b.srv = srv
		urls, options = "", append(options, nats.InProcessServer(dialer{b}))
	}
	if b.nc, err = nats.Connect(urls, options...); err == nil {
		b.js, err = jetstream.New(b.nc, jetstream.WithDefaultTimeout(requestTimeout))
	}
	if err != nil {
		if b.srv != nil {
			b.srv.stop()
		}
		return nil, fmt.Errorf("bus: %w", err)
	}
	go b.keep()
	return b, nil
}

func (b *Bus) options() ([]nats.Option, error) {
	options := []nats.Option{
		nats.Name(b.cfg.Name),
		nats.Timeout(dialTimeout),
		nats.SetCustomDialer(dialer{b}),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // a password may be put right while we wait
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		nats.ReconnectBufSize(-1), // or ticks of the outage would be sent after it
		nats.PingInterval(pingEvery),
		nats.MaxPingsOutstanding(pingsOutMax),
		nats.FlusherTimeout(writeTimeout),
		nats.ReconnectOnFlusherError(),
		nats.ConnectHandler(b.connected),
		nats.ReconnectHandler(b.connected),
		nats.DisconnectErrHandler(b.disconnected),
		nats.ErrorHandler(b.failed),
		nats.ReconnectErrHandler(b.refused),
		nats.ClosedHandler(func(nc *nats.Conn) {
			if b.closing.Err() == nil {
				b.log.Error("NATS connection closed for good", zap.Error(nc.LastError()))
			}
			close(b.ended)
		}),
	}
	if b.cfg.CAFile != "" {
		options = append(options, nats.RootCAs(b.cfg.CAFile))
	}
	if b.cfg.CredentialsFile == "" {
		return options, nil
	}
	who, err := credentials(b.cfg.CredentialsFile)
	return append(options, who), err
}

// Close ends Run and every pending call, and stops the embedded server with all it
// remembers. It waits for a running OnReconnect function, which so must not call it. What was
// published and not flushed is sent when it can be sent at once.
func (b *Bus) Close() {
	b.stop()
	b.nc.Close()
	<-b.kept
	<-b.ended
	if b.srv != nil {
		b.srv.stop()
	}
}

// Status never waits for the network.
func (b *Bus) Status() Status {
	b.mu.Lock()
	status := b.status
	b.mu.Unlock()
	status.Dropped = b.dropped()
	return status
}

// Ready waits until there is a connection and JetStream has our streams or is known to be
// absent. It returns ErrClosed, or the error of ctx with what was missing.
func (b *Bus) Ready(ctx context.Context) error {
	b.mu.Lock()
	ready := b.ready
	b.mu.Unlock()
	if b.closing.Err() != nil {
		return ErrClosed
	}
	select {
	case <-ready:
		return nil
	case <-b.closing.Done():
		return ErrClosed
	case <-ctx.Done():
		if !b.Status().Connected {
			return fmt.Errorf("%w: %w", ErrDisconnected, ctx.Err())
		}
		return fmt.Errorf("bus: JetStream is not ready: %w", ctx.Err())
	}
}

// connected and disconnected are called one after the other by a goroutine of nats.go.
func (b *Bus) connected(nc *nats.Conn) {
	url := nc.ConnectedUrlRedacted()
	if b.srv != nil {
		url = b.srv.url()
	}
	alive, end := context.WithCancel(b.closing)
	b.mu.Lock()
	again := b.status.Ever
	b.link = &link{again: again, alive: alive, end: end}
	b.status.Connected, b.status.Ever, b.status.Since, b.status.URL = true, true, time.Now(), url
	if again {
		b.status.Reconnects++
	} else {
		b.flushedOn = nc.Stats().Reconnects // failed attempts count there, and nothing was sent on them
	}
	b.mu.Unlock()
	b.log.Info("NATS connected", zap.String("url", url), zap.Bool("again", again))
	select {
	case b.wake <- struct{}{}:
	default: // keep will find the newest link anyway
	}
}

func (b *Bus) disconnected(_ *nats.Conn, err error) {
	b.breaks.Add(1)
	b.mu.Lock()
	if b.link != nil {
		b.link.end()
		b.link = nil
	}
	select {
	case <-b.ready:
		b.ready = make(chan struct{})
	default: // never settled: whoever waits goes on waiting
	}
	b.status.Connected, b.status.Since = false, time.Now()
	url := b.status.URL
	b.mu.Unlock()
	if b.closing.Err() == nil {
		b.log.Warn("NATS disconnected", zap.String("url", url), zap.Error(err))
	}
}

// refused gets every attempt that fails. The first one of all is the only line that tells of a
// wrong address or password; later ones come after the line of a disconnect.
func (b *Bus) refused(_ *nats.Conn, err error) {
	b.mu.Lock()
	first := !b.status.Ever && !b.refusedOnce
	b.refusedOnce = true
	b.mu.Unlock()
	level := zap.DebugLevel
	if first {
		level = zap.WarnLevel
	}
	b.log.Log(level, "NATS is away, trying on", zap.Error(err))
}

// failed gets what nats.go has nobody else to tell. Drops are counted by Run.
func (b *Bus) failed(_ *nats.Conn, sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrSlowConsumer) {
		return
	}
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	b.log.Warn("NATS error", zap.String("subject", subject), zap.Error(err))
}

func (b *Bus) currentLink() *link {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.link
}

// translate gives the errors of nats.go that callers branch on our names.
func (b *Bus) translate(err error) error {
	switch {
	case err == nil:
		return nil
	case b.closing.Err() != nil:
		return ErrClosed
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionClosed):
		return ErrDisconnected
	case storeIsAbsent(err), errors.Is(err, jetstream.ErrStreamNotFound):
		return ErrNoStore
	}
	return err
}

// gone is why there is no link.
func (b *Bus) gone() error {
	if b.closing.Err() != nil {
		return ErrClosed
	}
	return ErrDisconnected
}

// endOf is the reason for err, the end of a call that was bound to l.
func (b *Bus) endOf(l *link, err error) error {
	if l.alive.Err() != nil {
		return b.gone()
	}
	return b.translate(err)
}
