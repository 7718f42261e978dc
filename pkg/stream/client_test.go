package stream_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/tickcast/tickcast/pkg/codec"
)

// A client is one subscriber over gws.
type client struct {
	gws.BuiltinEventHandler
	t      *testing.T
	enc    codec.Encoding
	ws     *gws.Conn
	events chan codec.Event
	closed chan uint16 // the close code, 0 without one
	pongs  chan string
	sizes  []int // bytes of each message
	seen   []codec.Event
}

func (c *client) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	want := gws.OpcodeBinary
	if c.enc == codec.JSON {
		want = gws.OpcodeText
	}
	if m.Opcode != want {
		c.t.Errorf("message of opcode %d, want %d", m.Opcode, want)
	}
	c.sizes = append(c.sizes, len(m.Bytes()))
	evs, err := codec.DecodeBatch(c.enc, m.Bytes())
	if err != nil {
		c.t.Errorf("batch: %v", err)
	}
	for _, ev := range evs {
		c.events <- ev
	}
}

func (c *client) OnPong(_ *gws.Conn, p []byte) { c.pongs <- string(p) }

func (c *client) OnClose(_ *gws.Conn, err error) {
	var ce *gws.CloseError
	code := uint16(0)
	if asClose(err, &ce) {
		code = ce.Code
	}
	c.closed <- code
	close(c.events)
}

func asClose(err error, ce **gws.CloseError) bool {
	e, ok := err.(*gws.CloseError)
	*ce = e
	return ok
}

func dialOptions(url string, protocols ...string) *gws.ClientOption {
	o := &gws.ClientOption{Addr: url + "/v1/stream", RequestHeader: http.Header{}, TlsConfig: clientTLS, HandshakeTimeout: patience}
	if len(protocols) > 0 {
		o.RequestHeader.Set("Sec-WebSocket-Protocol", strings.Join(protocols, ", "))
	}
	return o
}

// dial connects and takes hello.
func (r *rig) dial(enc codec.Encoding) *client {
	r.t.Helper()
	return r.dialWith(enc, dialOptions(r.url, enc.Subprotocol()))
}

func (r *rig) dialWith(enc codec.Encoding, o *gws.ClientOption) *client {
	r.t.Helper()
	c := r.newClient(enc)
	ws, _, err := gws.NewClient(c, o)
	if err != nil {
		r.t.Fatal(err)
	}
	c.follow(ws)
	return c
}

func (r *rig) newClient(enc codec.Encoding) *client {
	return &client{t: r.t, enc: enc, events: make(chan codec.Event, 1<<20), closed: make(chan uint16, 1), pongs: make(chan string, 100)}
}

// follow reads from the connection, and takes hello.
func (c *client) follow(ws *gws.Conn) {
	c.t.Helper()
	c.ws = ws
	done := make(chan struct{})
	go func() { ws.ReadLoop(); close(done) }()
	c.t.Cleanup(func() {
		_ = ws.NetConn().Close()
		<-done
	})
	if _, ok := c.next().(codec.Hello); !ok {
		c.t.Fatalf("the first event is no hello: %#v", c.seen)
	}
}

// next returns the next event.
func (c *client) next() codec.Event {
	c.t.Helper()
	select {
	case ev, ok := <-c.events:
		if !ok {
			c.t.Fatalf("connection closed; seen so far: %v", c.seen)
		}
		c.seen = append(c.seen, ev)
		return ev
	case <-time.After(patience):
		c.t.Fatalf("no event; seen so far: %v", c.seen)
		return nil
	}
}

// nextOf returns the next event but heartbeats, which must be a T.
func nextOf[T any](c *client) T {
	c.t.Helper()
	for end := time.Now().Add(patience); ; {
		ev := c.next()
		if _, beat := ev.(codec.Heartbeat); beat && time.Now().Before(end) {
			continue
		}
		if want, ok := ev.(T); ok {
			return want
		}
		var want T
		c.t.Fatalf("got %#v, want a %T", ev, want)
	}
}

func (c *client) send(req string) {
	c.t.Helper()
	if err := c.ws.WriteString(req); err != nil {
		c.t.Fatal(err)
	}
}

// subscribe asks for the streams and returns the ack.
func (c *client) subscribe(fields string) codec.Ack {
	c.t.Helper()
	c.send(`{"op":"subscribe","id":7,` + fields + `}`)
	return nextOf[codec.Ack](c)
}

// begin subscribes and takes the snapshots, behind which every event comes.
func (c *client) begin(fields string, snapshots int) {
	c.t.Helper()
	c.subscribe(fields)
	for range snapshots {
		nextOf[codec.Snapshot](c)
	}
}

// quiet asserts that nothing but the pong arrives before the answer to a ping.
func (c *client) quiet(why string) {
	c.t.Helper()
	c.send(`{"op":"ping","id":99}`)
	for {
		ev := c.next()
		if p, ok := ev.(codec.Pong); ok && p.ID != nil && *p.ID == 99 {
			return
		}
		if _, ok := ev.(codec.Heartbeat); !ok {
			c.t.Fatalf("%s: got %#v", why, ev)
		}
	}
}

func (c *client) closeCode() uint16 {
	c.t.Helper()
	select {
	case code := <-c.closed:
		return code
	case <-time.After(patience):
		c.t.Fatal("the connection stays open")
		return 0
	}
}
