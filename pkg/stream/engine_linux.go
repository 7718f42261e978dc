package stream

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/lxzan/gws"
	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/eventloop"
)

// Engines lists what Config.Engine may be on this system, the best first.
func Engines() []string { return []string{EngineEpoll, EngineGoroutine} }

func newEngine(cfg *Config, shards []*shard) (engine, error) {
	if cfg.Engine == EngineGoroutine {
		return newGWSEngine(cfg, shards), nil
	}
	return newEpollEngine(cfg, shards)
}

// readBudget is what one session may send in one turn: some hundred requests. A subscriber
// that floods is served in the turns that follow, after the others.
const readBudget = 16 << 10

var loopConfig = eventloop.Config{
	MaxMessageBytes: codec.MaxRequestBytes, ReadBudget: readBudget,
	SendBuffer: sendBuffer, NotSentLowat: sendBuffer / 2, Linger: closeWithin,
}

// epollEngine drives each shard by an event loop that owns its sessions' sockets: gws answers
// the handshake, and then no goroutine is left to the connection.
type epollEngine struct {
	log     *zap.Logger
	up      *upgrader
	drivers map[*shard]*driver
	running sync.WaitGroup
}

func newEpollEngine(cfg *Config, shards []*shard) (*epollEngine, error) {
	nothing := func() gws.SessionStorage { return nil } // the handler is never called
	e := &epollEngine{
		log: cfg.Log, drivers: make(map[*shard]*driver, len(shards)),
		up: newUpgrader(cfg, gws.BuiltinEventHandler{}, nothing, gws.PermessageDeflate{Level: flate.HuffmanOnly, PoolSize: 1}),
	}
	for _, sh := range shards {
		d := &driver{sh: sh, start: eventloop.At(sh.clock.start)}
		loop, err := eventloop.New(d, loopConfig)
		if err != nil {
			e.stop(0)
			return nil, err
		}
		d.loop, sh.inbox.wake = loop, loop.Wake
		e.drivers[sh] = d
		e.running.Go(func() {
			if err := loop.Run(); err != nil {
				e.log.Error("event loop ends", zap.Error(err))
			}
			sh.inbox.end()
		})
	}
	return e, nil
}

func (e *epollEngine) stop(linger time.Duration) {
	for _, d := range e.drivers {
		d.loop.Stop(linger)
	}
	e.running.Wait()
}

func (e *epollEngine) close(gone <-chan struct{}, linger time.Duration) {
	e.stop(linger)
	<-gone
}

// serve hands the connection to its session's loop.
func (e *epollEngine) serve(conn net.Conn, buffered []byte, r *http.Request, s *session) {
	answer, err := e.answer(r, s)
	if err != nil {
		_, _ = conn.Write(answer)
		_ = conn.Close()
		s.leave()
		return
	}
	a, err := eventloop.Detach(conn)
	if err != nil {
		if !errors.Is(err, net.ErrClosed) { // it had to make room for another, just then
			e.log.Error("hand a connection to its loop", zap.Error(err))
		}
		_ = conn.Close()
		s.leave()
		return
	}
	a.Answer, a.Rest = answer, append(buffered, a.Rest...)
	e.adopt(a, s)
}

// answer returns what gws says to the request, which is a refusal where it fails.
func (e *epollEngine) answer(r *http.Request, s *session) ([]byte, error) {
	var said answered
	up, err := e.up.upgrade(&said, nil, r)
	s.deflate = up.deflate
	return said.bytes, err
}

// adopt gives the loop what answers the request, and the connection.
func (e *epollEngine) adopt(a eventloop.Adopted, s *session) {
	a.Deflate, a.Data = s.deflate, s
	if !e.drivers[s.sh].loop.Adopt(a) {
		s.leave()
	}
}

// answered keeps what gws writes to a connection, which uses no more of one than this.
type answered struct {
	net.Conn
	bytes []byte
}

func (a *answered) Write(p []byte) (int, error) {
	a.bytes = append(a.bytes, p...)
	return len(p), nil
}

func (a *answered) SetDeadline(time.Time) error { return nil }

func (a *answered) Close() error { return nil }

// A driver is a shard under its event loop.
type driver struct {
	sh   *shard
	loop *eventloop.Loop

	began int64 // the turn in which the clock was read
	start int64 // of the shard's clock, by the loop's
}

// time has the clock read once a turn, by whatever comes first in it.
func (d *driver) time() {
	if began := d.loop.Began(); began != d.began {
		d.began = began
		d.sh.readClock()
	}
}

// Open begins the session of an adopted connection.
func (d *driver) Open(c *eventloop.Conn) {
	d.time()
	s := c.Data.(*session)
	s.wire = (*loopWire)(c)
	s.open()
}

// Message carries a request out.
func (d *driver) Message(c *eventloop.Conn, text bool, payload []byte) {
	d.time()
	enc := codec.MsgPack
	if text {
		enc = codec.JSON
	}
	req, bad := codec.DecodeRequest(enc, payload)
	c.Data.(*session).handle(&req, bad)
}

// Drained says that the session's wire is free again.
func (d *driver) Drained(c *eventloop.Conn) {
	d.time()
	c.Data.(*session).passedOn()
}

// Ending sends the answers to what the subscriber asked before it left.
func (d *driver) Ending(c *eventloop.Conn) {
	d.time()
	c.Data.(*session).flush()
}

// Closed ends the session.
func (d *driver) Closed(c *eventloop.Conn, code int, _ error) {
	d.time()
	s := c.Data.(*session)
	s.gone(code)
	s.leave()
}

// Turn is the shard's.
func (d *driver) Turn(now int64) (wake int64) {
	d.time()
	at := d.sh.turn()
	d.sh.counts.wire.Store(d.loop.Written())
	if at == 0 {
		return 0
	}
	// As the same time in each turn, so that the loop's timer need not be set again.
	return max(now+1, d.start+at)
}

// A loopWire is a session's connection in an event loop.
type loopWire eventloop.Conn

func (w *loopWire) conn() *eventloop.Conn { return (*eventloop.Conn)(w) }

func (w *loopWire) Send(m *message) bool {
	s := w.conn().Data.(*session)
	return w.conn().Write(s.sh.framer.frame(m, s.deflate)) == 0
}

func (w *loopWire) Waiting() int { return w.conn().Waiting() }

func (w *loopWire) Kernel() kernelView { return kernelView(w.conn().Info()) }

func (w *loopWire) Close(code int, reason string) { w.conn().Close(code, reason) }

// kernelViewOf asks for a connection that gws reads and writes.
func kernelViewOf(conn net.Conn) (v kernelView) {
	if socket := eventloop.Socket(conn); socket != nil {
		if raw, err := socket.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { v = kernelView(eventloop.InfoOf(int(fd))) })
		}
	}
	return v
}
