package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// A Node serves subscribers from an upstream. Make one with New, start it with Run.
type Node struct {
	cfg    Config
	log    *zap.Logger
	up     Upstream
	clock  clock
	in     *ingest
	shards []*shard
	engine engine

	sessions atomic.Int64  // open now
	started  atomic.Uint64 // ever; numbers them too
	draining atomic.Bool
	overdue  atomic.Bool  // the drain's time is over
	upSince  atomic.Int64 // node clock when the upstream was last seen connected
	doors    doors

	refused      [len(refusedWith)]atomic.Int64
	pagesRefused atomic.Int64

	gate         *gate // nil: no token is asked for
	authFailures [len(authReasons)]atomic.Int64
	seats        *seats
	handshakes   *rate.Limiter
	refusals     *rate.Limiter // answered at once
	pages        *paces
	pageTurns    *rate.Limiter

	ctx     context.Context // of what begins while the node runs, and ends with it
	end     context.CancelFunc
	runMu   sync.Mutex
	running sync.WaitGroup
	fan     *fan
	lateMu  sync.Mutex
	late    map[time.Duration]*ingest
	lobby   *lobby
}

// An engine drives sockets, and with them the shards.
type engine interface {
	// serve upgrades a connection on which an upgrade request came, and sees that
	// the shard's gone is called at its end.
	serve(conn net.Conn, buffered []byte, r *http.Request, s *session)
	// close cuts the connections that have not ended, waits until gone says that all have,
	// and then ends the shards. Sockets whose session has ended may linger for so long.
	close(gone <-chan struct{}, linger time.Duration)
}

// New makes a node, which holds goroutines and descriptors from then on: call Run.
func New(cfg Config, up Upstream) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg.withDefaults(), up: up, clock: newClock(),
		doors: doors{empty: make(chan struct{})}, late: make(map[time.Duration]*ingest),
	}
	n.log = n.cfg.Log
	n.seats = newSeats(&n.cfg)
	n.lobby = newLobby(&n.cfg)
	n.pages = newPaces(n.cfg.PageRequestsPerSecond)
	turns := func() *rate.Limiter {
		return rate.NewLimiter(rate.Limit(n.cfg.HandshakesPerSecond), n.cfg.HandshakesPerSecond)
	}
	n.handshakes, n.refusals, n.pageTurns = turns(), turns(), turns() // who asks for pages keeps nobody from an upgrade
	n.ctx, n.end = context.WithCancel(context.Background())
	n.gate = n.newGate()
	n.fan = newFan(up)
	n.in = n.newIngest(n.fan, 0)
	for i := range n.cfg.Shards {
		sh := newShard(i, &n.cfg, n.clock)
		sh.gone, sh.viewAt = n.gone, n.ingestAt
		sh.viewOf(n.in)
		n.shards = append(n.shards, sh)
	}
	var err error
	if n.engine, err = newEngine(&n.cfg, n.shards); err != nil {
		return nil, err
	}
	return n, nil
}

// Run follows the upstream and serves sessions until ctx ends. Drain first: sessions that
// are still open then are cut. It returns when every goroutine of the node has.
func (n *Node) Run(ctx context.Context) error {
	var rest sync.WaitGroup
	rest.Go(func() { n.watchUpstream(ctx) })
	if n.gate != nil {
		rest.Go(func() { n.follow(ctx) })
	}
	err := n.in.run(ctx)
	rest.Wait()
	n.endRunning()
	n.stop()
	return err
}

// watchUpstream keeps the time at which the upstream was last there, to within a twentieth of
// the grace.
func (n *Node) watchUpstream(ctx context.Context) {
	every := min(max(n.cfg.Grace/20, 10*time.Millisecond), time.Second)
	for {
		if now, _ := n.up.Connected(); now {
			n.upSince.Store(n.clock.now() + 1)
		}
		if !sleep(ctx, every) {
			return
		}
	}
}

// Ready says whether the node should get new subscribers, and if not, why.
func (n *Node) Ready() error {
	if n.draining.Load() {
		return fmt.Errorf("draining")
	}
	now, ever := n.up.Connected()
	switch away := time.Duration(n.clock.now() - n.upSince.Load()); {
	case !ever:
		return fmt.Errorf("not connected to NATS yet")
	case !n.up.Known():
		return fmt.Errorf("the symbols are not read yet")
	case !now && away > n.cfg.Grace:
		return fmt.Errorf("NATS has been gone for %s", away.Round(time.Second))
	}
	return nil
}

// ServeStream is the handler of GET /v1/stream.
func (n *Node) ServeStream(w http.ResponseWriter, r *http.Request) {
	s, no := n.letIn(r)
	if no != nil {
		n.countRefused(strconv.Itoa(no.status))
		no.thenClose()
		n.refuse(w, r, no)
		return
	}
	conn, buffered, err := hijack(w)
	if err != nil {
		s.leave()
		if errors.Is(err, net.ErrClosed) {
			return // it had to make room for another, just then
		}
		n.log.Error("take over a connection", zap.Error(err))
		http.Error(w, "the connection cannot be taken over", http.StatusInternalServerError)
		return
	}
	n.engine.serve(conn, buffered, r, s)
}

// letIn counts a connection in and chooses its shard, unless it says why not.
func (n *Node) letIn(r *http.Request) (*session, *refusal) {
	if no := n.refusal(r); no != nil {
		return nil, no
	}
	address := clientAddress(r, n.cfg.TrustedProxies)
	seat, rights, no := n.admit(r, address)
	if no != nil {
		return nil, no
	}
	if n.sessions.Add(1) > int64(n.cfg.MaxConnections) {
		n.sessions.Add(-1)
		seat.leave()
		return nil, busy("too many connections", 5)
	}
	if !n.doors.enter() {
		n.sessions.Add(-1)
		seat.leave()
		return nil, n.refusal(r) // draining, since a moment ago
	}
	nth := n.started.Add(1)
	return &session{
		sh: n.shards[nth%uint64(len(n.shards))], nth: nth,
		remote: remoteName(r.RemoteAddr, address), enc: chooseEncoding(r.Header), opened: time.Now().Unix(),
		seat: seat, rights: rights,
	}, nil
}

// gone counts a connection out.
func (n *Node) gone() {
	n.sessions.Add(-1)
	n.doors.leave()
}

func (n *Node) refusal(r *http.Request) *refusal {
	if no := checkUpgrade(r); no != nil {
		return no
	}
	if !checkOrigin(r, n.cfg.AllowedOrigins) {
		return &refusal{status: http.StatusForbidden, reason: "origin not allowed"}
	}
	if n.draining.Load() {
		return &refusal{status: http.StatusServiceUnavailable, reason: "the node is draining", header: http.Header{"Retry-After": {"1"}}}
	}
	return nil
}

// hijack takes the connection from net/http, with what it has read behind the request.
func hijack(w http.ResponseWriter) (net.Conn, []byte, error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	buffered := make([]byte, rw.Reader.Buffered())
	_, _ = rw.Reader.Read(buffered)
	return conn, buffered, conn.SetDeadline(time.Time{})
}
