package stream

import (
	"bufio"
	"errors"
	"fmt"
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

// gwsEngine is the portable engine: gws answers the handshake, reads and writes, with two
// goroutines per connection. It runs everywhere.
type gwsEngine struct {
	gws.BuiltinEventHandler
	log        *zap.Logger
	up         *upgrader
	stop       chan struct{}
	running    sync.WaitGroup // shards
	goroutines sync.WaitGroup // of connections

	mu      sync.Mutex
	screens map[*screen]struct{} // of connections
	cutting bool
}

func newGWSEngine(cfg *Config, shards []*shard) *gwsEngine {
	e := &gwsEngine{log: cfg.Log, stop: make(chan struct{}), screens: make(map[*screen]struct{})}
	// Without context takeover a connection keeps no dictionary.
	e.up = newUpgrader(cfg, e, nil, gws.PermessageDeflate{Level: flate.BestSpeed, PoolSize: 8})
	for _, sh := range shards {
		wake := make(chan struct{}, 1)
		sh.inbox.wake = func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		}
		e.running.Go(func() { sh.run(wake, e.stop) })
	}
	return e
}

func (e *gwsEngine) close(gone <-chan struct{}, _ time.Duration) {
	e.mu.Lock()
	e.cutting = true
	for sc := range e.screens {
		sc.abort()
	}
	e.mu.Unlock()
	<-gone
	e.goroutines.Wait()
	close(e.stop)
	e.running.Wait()
}

// follow lets close cut the connection until the function that it returns is called.
func (e *gwsEngine) follow(sc *screen) (end func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cutting {
		sc.abort()
	}
	e.screens[sc] = struct{}{}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.screens, sc)
	}
}

// gwsLog passes what gws reports on to zap.
type gwsLog struct{ log *zap.Logger }

func (l gwsLog) Error(v ...any) { l.log.Debug("gws", zap.String("message", fmt.Sprint(v...))) }

// serve follows the connection to its end.
func (e *gwsEngine) serve(conn net.Conn, buffered []byte, r *http.Request, s *session) {
	defer s.leave()
	sc := &screen{Conn: conn, tcp: eventloop.Socket(conn), head: buffered, wire: &s.sh.counts.wire}
	if sc.tcp != nil {
		_ = sc.tcp.SetWriteBuffer(sendBuffer)
	}
	defer e.follow(sc)()
	ws, err := e.up.upgrade(sc, bufio.NewReaderSize(sc, 1024), r)
	if err != nil {
		_ = conn.Close()
		return
	}
	sc.deflate = ws.deflate
	sc.onFault = func(f *fault) { _ = ws.WriteClose(uint16(f.code), []byte(f.reason)) }

	w := &gwsWire{ws: ws.Conn, net: sc, s: s, op: gws.OpcodeBinary, out: make(chan outgoing, 2), done: make(chan struct{}), handled: make(chan struct{}, 1)}
	if s.enc == codec.JSON {
		w.op = gws.OpcodeText
	}
	ws.Session().Store(wireKey, w)
	s.wire = w
	s.sh.do(s.open)
	e.goroutines.Go(w.writeLoop)
	e.readLoop(ws.Conn)
	close(w.done)
	code := w.endedWith()
	s.sh.do(func() { s.gone(code) })
	_ = sc.finish()
}

// readLoop survives a panic in gws: one subscriber's frame must not end the process.
func (e *gwsEngine) readLoop(ws *gws.Conn) {
	defer func() {
		if p := recover(); p != nil {
			e.log.Error("gws panicked on a subscriber's frame", zap.Any("panic", p), zap.Stringer("remote", ws.RemoteAddr()))
		}
	}()
	ws.ReadLoop()
}

// OnClose notes the code of the close frame, where there was one.
func (e *gwsEngine) OnClose(ws *gws.Conn, err error) {
	var closed *gws.CloseError
	if errors.As(err, &closed) {
		wireOf(ws).closeCode = int(closed.Code)
	}
}

// endedWith says how the connection ended, once the read loop has.
func (w *gwsWire) endedWith() int {
	switch {
	case w.net.told:
		return w.net.fault.code
	case w.closeCode == closeNormal && w.net.peerCode.Load() != 0:
		return int(w.net.peerCode.Load())
	case w.closeCode != 0:
		return w.closeCode
	}
	return closeAbnormal
}

// wireKey is where a gws connection keeps its wire.
const wireKey = "wire"

func wireOf(ws *gws.Conn) *gwsWire {
	w, _ := ws.Session().Load(wireKey)
	return w.(*gwsWire)
}

// OnPing answers with the ping's own payload, which gws's default does not.
func (e *gwsEngine) OnPing(ws *gws.Conn, payload []byte) { _ = ws.WritePong(payload) }

// OnMessage decodes a request and waits until the shard has carried it out, so that a
// subscriber that floods has one request under way and no more.
func (e *gwsEngine) OnMessage(ws *gws.Conn, m *gws.Message) {
	w := wireOf(ws)
	enc := codec.MsgPack
	if m.Opcode == gws.OpcodeText {
		enc = codec.JSON
	}
	req, bad := codec.DecodeRequest(enc, m.Bytes())
	_ = m.Close()
	w.s.sh.do(func() {
		w.s.handle(&req, bad)
		w.handled <- struct{}{}
	})
	<-w.handled // shards outlive connections
}

// A gwsWire is a session's connection under gws. The shard hands it one message at a time;
// its own goroutine writes, so that a slow subscriber blocks nobody else.
type gwsWire struct {
	ws  *gws.Conn
	net *screen
	op  gws.Opcode
	s   *session

	out     chan outgoing // a message and a close at the most
	done    chan struct{} // the read loop has ended
	handled chan struct{} // the shard has carried a request out

	closeCode int // of the frame that ended the read loop, whose alone it is

	// shard
	sent    int64 // bytes of messages handed over
	closing bool  // Close was called
}

// outgoing is a message, or a close if code is set.
type outgoing struct {
	msg    *[]byte
	code   int
	reason string
}

var messagePool = sync.Pool{New: func() any { return new([]byte) }}

// messageKeepMax keeps the pool from holding on to rare huge messages.
const messageKeepMax = 64 << 10

func (w *gwsWire) Send(m *message) bool {
	p := messagePool.Get().(*[]byte)
	*p = append((*p)[:0], m.batch()...)
	w.sent += int64(len(*p))
	w.out <- outgoing{msg: p} // never blocks: the shard waits for passedOn
	return false
}

// Waiting is an upper bound: what compression saves counts as waiting until the message is
// through. Its changes are what the shard looks at.
func (w *gwsWire) Waiting() int { return int(max(0, w.sent-w.net.taken.Load())) }

func (w *gwsWire) Kernel() kernelView { return kernelViewOf(w.net.Conn) }

// closeWriteWithin bounds how long a close waits for a subscriber that does not read.
const closeWriteWithin = time.Second

func (w *gwsWire) Close(code int, reason string) {
	if w.closing {
		return
	}
	w.closing = true
	_ = w.net.SetWriteDeadline(time.Now().Add(closeWriteWithin))
	w.out <- outgoing{code: code, reason: reason}
}

func (w *gwsWire) writeLoop() {
	for {
		select {
		case <-w.done:
			return
		case o := <-w.out:
			if o.msg == nil {
				w.failed(w.ws.WriteClose(uint16(o.code), []byte(o.reason)))
				return
			}
			err := w.ws.WriteMessage(w.op, *o.msg)
			if cap(*o.msg) <= messageKeepMax {
				messagePool.Put(o.msg)
			}
			if err != nil {
				w.failed(err)
				return
			}
			w.s.sh.do(w.s.passedOn)
		}
	}
}

// failed cuts a connection that cannot be written. One that gws is closing is left to it: a
// reset could cost the subscriber the close frame.
func (w *gwsWire) failed(err error) {
	if err != nil && !errors.Is(err, gws.ErrConnClosed) && !w.net.closing.Load() {
		w.net.abort()
	}
}
