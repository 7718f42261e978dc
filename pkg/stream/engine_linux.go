package stream

import (
	"net"
	"net/http"
	"sync"

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

// epollEngine drives each shard by an event loop that owns its sessions' sockets: gws answers
// the handshake, and then no goroutine is left to the connection.
type epollEngine struct {
	log     *zap.Logger
	up      *upgrader
	drivers map[*shard]*driver
	running sync.WaitGroup
}

func newEpollEngine(cfg *Config, shards []*shard) (*epollEngine, error) {
	e := &epollEngine{log: cfg.Log, up: newUpgrader(cfg, gws.BuiltinEventHandler{}), drivers: make(map[*shard]*driver, len(shards))}
	for _, sh := range shards {
		d := &driver{sh: sh}
		loop, err := eventloop.New(d, eventloop.Config{
			MaxMessageBytes: codec.MaxRequestBytes, ReadBudget: readBudget,
			SendBuffer: sendBuffer, NotSentLowat: sendBuffer / 2, Linger: closeWithin,
		})
		if err != nil {
			e.stop()
			return nil, err
		}
		d.loop, sh.inbox.wake = loop, loop.Wake
		e.drivers[sh] = d
		e.running.Go(func() {
			if err := loop.Run(); err != nil {
				e.log.Error("event loop ends", zap.Error(err))
			}
		})
	}
	return e, nil
}

func (e *epollEngine) stop() {
	for _, d := range e.drivers {
		d.loop.Stop()
	}
	e.running.Wait()
}

func (e *epollEngine) close() error {
	e.stop()
	return nil
}

// serve hands the connection to its session's loop.
func (e *epollEngine) serve(conn net.Conn, buffered []byte, r *http.Request, s *session) {
	up, err := e.up.upgrade(conn, nil, r)
	if err != nil {
		s.ended()
		return
	}
	fd, err := eventloop.Detach(conn)
	if err != nil {
		e.log.Error("hand a connection to its loop", zap.Error(err))
		_ = conn.Close()
		s.ended()
		return
	}
	s.deflate = up.deflate
	if !e.drivers[s.sh].loop.Adopt(eventloop.Adopted{Fd: fd, Rest: buffered, Deflate: up.deflate, Data: s}) {
		s.ended()
	}
}

// A driver is a shard under its event loop.
type driver struct {
	sh   *shard
	loop *eventloop.Loop

	timed    bool // the clock was read in this turn
	deflated []byte
	deflater *flate.Writer
}

// time has the clock read once a turn, by whatever comes first in it.
func (d *driver) time() {
	if !d.timed {
		d.timed = true
		d.sh.readClock()
	}
}

// Open begins the session of an adopted connection.
func (d *driver) Open(c *eventloop.Conn) {
	d.time()
	s := c.Data.(*session)
	s.wire = &loopWire{c: c, d: d, s: s}
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

// Closed ends the session.
func (d *driver) Closed(c *eventloop.Conn, _ int, _ error) {
	d.time()
	s := c.Data.(*session)
	s.gone()
	s.ended()
}

// Turn is the shard's.
func (d *driver) Turn(now int64) (wake int64) {
	d.time()
	at := d.sh.turn()
	d.timed = false
	if at == 0 {
		return 0
	}
	return now + max(1, at-d.sh.now)
}

// deflateMin is the size from which a message is worth compressing.
const deflateMin = 512

// deflate compresses b[at:] behind the same headroom, without context takeover (RFC 7692,
// section 7.2.1: the last four bytes of the flush are left out).
func (d *driver) deflate(b []byte, at int) []byte {
	out := appender{append(d.deflated[:0], b[:at]...)}
	if d.deflater == nil {
		d.deflater, _ = flate.NewWriter(&out, flate.BestSpeed) // fails for unknown levels only
	} else {
		d.deflater.Reset(&out)
	}
	_, _ = d.deflater.Write(b[at:]) // appender does not fail
	_ = d.deflater.Flush()
	d.deflated = out.b
	return out.b[:len(out.b)-4]
}

type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

// A loopWire is a session's connection in an event loop.
type loopWire struct {
	c *eventloop.Conn
	d *driver
	s *session
}

func (w *loopWire) Send(b []byte, at int) bool {
	op, compressed := eventloop.OpBinary, false
	if w.s.enc == codec.JSON {
		op = eventloop.OpText
	}
	if w.s.deflate && len(b)-at >= deflateMin {
		b, compressed = w.d.deflate(b, at), true
	}
	var head [headroom]byte
	h := eventloop.AppendFrameHeader(head[:0], op, len(b)-at, compressed)
	copy(b[at-len(h):], h)
	return w.c.Write(b[at-len(h):]) == 0
}

func (w *loopWire) Waiting() int { return w.c.Waiting() }

func (w *loopWire) Close(code int, reason string) { w.c.Close(code, reason) }
