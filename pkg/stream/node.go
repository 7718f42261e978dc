package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
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

	sessions  atomic.Int64  // open now
	started   atomic.Uint64 // ever; numbers them too
	draining  atomic.Bool
	upSince   atomic.Int64 // node clock when the upstream was last seen connected
	connected sync.WaitGroup
	refused   atomic.Int64 // upgrade requests answered by HTTP
}

// An engine drives sockets, and with them the shards.
type engine interface {
	// serve upgrades a connection on which an upgrade request came, and sees that
	// the shard's gone is called at its end.
	serve(conn net.Conn, buffered []byte, r *http.Request, s *session)
	// close waits for the connections to end, and then ends the shards.
	close() error
}

// New makes a node, which holds goroutines and descriptors from then on: call Run.
func New(cfg Config, up Upstream) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg.withDefaults(), up: up, clock: newClock()}
	n.log = n.cfg.Log
	n.in = newIngest(up, n.log, n.clock, n.cfg.Linger, func(shard int, items []item) { n.shards[shard].inbox.put(items...) })
	for i := range n.cfg.Shards {
		sh := newShard(i, &n.cfg, n.clock)
		sh.in, sh.gone = n.in, n.gone
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
	err := n.in.run(ctx)
	rest.Wait()
	n.draining.Store(true)
	for _, sh := range n.shards {
		sh.do(func() {
			for _, s := range sh.sessions {
				s.wire.Close(codeRestart, "the node stops")
			}
		})
	}
	n.connected.Wait()
	return errors.Join(err, n.engine.close())
}

// watchUpstream keeps the time at which the upstream was last there.
func (n *Node) watchUpstream(ctx context.Context) {
	for {
		if now, _ := n.up.Connected(); now {
			n.upSince.Store(n.clock.now() + 1)
		}
		if !sleep(ctx, 100*time.Millisecond) {
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
	case !now && away > n.cfg.Grace:
		return fmt.Errorf("NATS has been gone for %s", away.Round(time.Second))
	}
	return nil
}

// codeRestart is RFC 6455's for a service that restarts: come back elsewhere.
const (
	codeRestart = 1012
	// retryDrain is the time over which those who are sent away are asked to spread.
	retryDrain = 2 * time.Second
)

// Drain sends every session away, spread over the given time, and returns when all are gone
// or ctx ends. New upgrades are refused from its first moment on.
func (n *Node) Drain(ctx context.Context, over time.Duration) {
	n.draining.Store(true)
	total := n.sessions.Load()
	if total == 0 {
		return
	}
	n.log.Info("draining", zap.Int64("sessions", total), zap.Duration("over", over))
	for i, sh := range n.shards {
		sh.do(func() { sh.drain(over, i, len(n.shards)) })
	}
	gone := make(chan struct{})
	go func() {
		n.connected.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-ctx.Done():
	}
	n.log.Info("drained", zap.Int64("sessions_left", n.sessions.Load()))
}

// drainStepMax is the longest pause between two goodbyes: a handful of sessions storms nobody.
const drainStepMax = 250 * time.Millisecond

// drain spreads the shard's goodbyes evenly over the time; shards interleave.
func (sh *shard) drain(over time.Duration, nth, of int) {
	step := min(int64(over)/int64(max(1, len(sh.sessions))), int64(drainStepMax))
	at := sh.now + step*int64(nth)/int64(of)
	for _, s := range sh.sessions {
		if s.leaving == nil {
			s.leaving = new(leaving)
		}
		s.leaving.at = max(1, at)
		sh.timers.sooner(s, at)
		at += step
	}
}

// ServeStream is the handler of GET /v1/stream.
func (n *Node) ServeStream(w http.ResponseWriter, r *http.Request) {
	if no := n.refusal(r); no != nil {
		n.refused.Add(1)
		for name, values := range no.header {
			w.Header()[name] = values
		}
		http.Error(w, no.reason, no.status)
		return
	}
	if n.sessions.Add(1) > int64(n.cfg.MaxConnections) {
		n.sessions.Add(-1)
		n.refused.Add(1)
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many connections", http.StatusServiceUnavailable)
		return
	}
	n.connected.Add(1)
	conn, buffered, err := hijack(w)
	if err != nil {
		n.gone()
		n.log.Error("take over a connection", zap.Error(err))
		http.Error(w, "the connection cannot be taken over", http.StatusInternalServerError)
		return
	}
	nth := n.started.Add(1)
	n.engine.serve(conn, buffered, r, &session{
		sh: n.shards[nth%uint64(len(n.shards))], nth: nth,
		remote: conn.RemoteAddr().String(), enc: chooseEncoding(r.Header), opened: time.Now().Unix(),
	})
}

// gone counts a connection out.
func (n *Node) gone() {
	n.sessions.Add(-1)
	n.connected.Done()
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
