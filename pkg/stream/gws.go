package stream

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/lxzan/gws"
	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/codec"
)

// gwsEngine is the portable engine: gws answers the handshake, reads and writes, with two
// goroutines per connection. It runs everywhere.
type gwsEngine struct {
	gws.BuiltinEventHandler
	log        *zap.Logger
	pairs      [2]*gws.Upgrader // without a subprotocol, with one
	compress   bool
	goroutines sync.WaitGroup
}

func newGWSEngine(cfg *Config) *gwsEngine {
	e := &gwsEngine{log: cfg.Log, compress: !cfg.NoCompression}
	for i := range e.pairs {
		o := &gws.ServerOption{
			ReadMaxPayloadSize: codec.MaxRequestBytes,
			ReadBufferSize:     1024,
			CheckUtf8Enabled:   true,
			Logger:             gwsLog{cfg.Log},
			// No context takeover: a connection keeps no dictionary.
			PermessageDeflate: gws.PermessageDeflate{Enabled: e.compress, Level: flate.BestSpeed, PoolSize: 8},
		}
		if i == 1 {
			o.SubProtocols = []string{codec.MsgPack.Subprotocol(), codec.JSON.Subprotocol()}
		}
		e.pairs[i] = gws.NewUpgrader(e, o)
	}
	return e
}

// gwsLog passes what gws reports on to zap.
type gwsLog struct{ log *zap.Logger }

func (l gwsLog) Error(v ...any) { l.log.Debug("gws", zap.String("message", fmt.Sprint(v...))) }

// serve upgrades a hijacked connection and follows it to its end. open makes the session
// once the handshake stands, and says in which shard it lives.
func (e *gwsEngine) serve(conn net.Conn, buffered []byte, r *http.Request, enc codec.Encoding, open func(wire) (*shard, *session)) error {
	sc := &screen{Conn: conn, head: buffered}
	sc.deflate = chooseDeflate(r.Header, e.compress)
	r.Header.Set("Connection", "Upgrade") // gws reads the first line only
	which := 0
	if r.Header.Get("Sec-Websocket-Protocol") != "" {
		which = 1
	}
	ws, err := e.pairs[which].UpgradeFromConn(sc, bufio.NewReaderSize(sc, 1024), r)
	if err != nil {
		return sc.abortWith(err)
	}
	sc.onFault = func(f *fault) { _ = ws.WriteClose(uint16(f.code), []byte(f.reason)) }

	w := &gwsWire{ws: ws, net: sc, op: gws.OpcodeBinary, out: make(chan outgoing, 2), done: make(chan struct{}), handled: make(chan struct{}, 1)}
	if enc == codec.JSON {
		w.op = gws.OpcodeText
	}
	ws.Session().Store(wireKey, w)
	w.sh, w.s = open(w)
	w.sh.do(func() { w.sh.open(w.s) })
	e.goroutines.Go(w.writeLoop)
	e.readLoop(ws)
	close(w.done)
	w.sh.do(w.s.gone)
	return sc.finish()
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
	w.sh.do(func() {
		w.s.handle(&req, bad)
		w.handled <- struct{}{}
	})
	select {
	case <-w.handled:
	case <-w.sh.stopped:
	}
}

// A gwsWire is a session's connection under gws. The shard hands it one message at a time;
// its own goroutine writes, so that a slow subscriber blocks nobody else.
type gwsWire struct {
	ws  *gws.Conn
	net *screen
	op  gws.Opcode
	sh  *shard
	s   *session

	out     chan outgoing // a message and a close at the most
	done    chan struct{} // the read loop has ended
	handled chan struct{} // the shard has carried a request out
	closing bool          // Close was called; the shard's
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

func (w *gwsWire) Send(msg []byte) bool {
	b := messagePool.Get().(*[]byte)
	*b = append((*b)[:0], msg...)
	w.out <- outgoing{msg: b} // never blocks: the shard waits for passedOn
	return false
}

func (w *gwsWire) Taken() int64 { return w.net.taken.Load() }

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
				if w.ws.WriteClose(uint16(o.code), []byte(o.reason)) != nil {
					_ = w.net.abort()
				}
				return
			}
			err := w.ws.WriteMessage(w.op, *o.msg)
			if cap(*o.msg) <= messageKeepMax {
				messagePool.Put(o.msg)
			}
			if err != nil {
				_ = w.net.abort()
				return
			}
			w.sh.do(w.s.passedOn)
		}
	}
}
