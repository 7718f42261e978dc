package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lxzan/gws"

	"github.com/tickcast/tickcast/pkg/codec"
)

const (
	// greetTimeout bounds an attempt to connect, from the first packet to the node's hello
	// and its answer to the token.
	greetTimeout = 10 * time.Second
	// writeTimeout bounds one request's way out; requests are small.
	writeTimeout = 10 * time.Second
	// partTimeout bounds a goodbye.
	partTimeout = time.Second
	// messageBytesMax bounds a message, inflated: a batch is at most 256 KiB, and a single
	// answer may be larger.
	messageBytesMax = 4 * codec.MaxBatchBytes
	// heartbeatMax bounds the silence that a node may announce.
	heartbeatMax = time.Hour
	// retryMax bounds what a node may ask for with a retry time.
	retryMax = time.Hour

	userAgent = "tickcast-go"
)

// A link is one connection. Its reader is the goroutine that runs the client; gws calls On*
// there and nowhere else.
type link struct {
	gws.BuiltinEventHandler
	c    *Client
	ctx  context.Context
	conn *watchedConn
	ws   *gws.Conn

	// reader
	hello   codec.Hello // Session and Node are empty until it came
	asked   bool        // an auth request was sent
	up      bool        // greeted, authenticated, and asked for what the books say
	bye     *codec.Bye
	closing error // from OnClose
	fault   error // why the client itself ended the link

	// under Client.mu
	authed  bool   // an auth request was granted
	refusal *Error // of the last one
	missing map[Stream]struct{}

	// for tend
	token  Token         // what the link was opened with
	raised chan struct{} // closed when the link is up: hello may be read from then on
	nudge  chan struct{} // holds a token when something is missing
	denied chan struct{} // holds one when a renewal was refused
}

// A watchedConn ends reads on which nothing comes for too long, and writes that nobody takes.
// It stands under TLS, so that a part of a record counts as life. Reads that are not waiting,
// because the program is slow, have no clock running.
type watchedConn struct {
	net.Conn
	greetBy time.Time    // until silence is set
	silence atomic.Int64 // ns; 0 until the node's heartbeat is known
	parting atomic.Bool
}

func (w *watchedConn) Read(p []byte) (int, error) {
	by := w.greetBy
	if d := w.silence.Load(); d > 0 {
		by = time.Now().Add(time.Duration(d))
	}
	if err := w.SetReadDeadline(by); err != nil {
		return 0, err
	}
	return w.Conn.Read(p)
}

func (w *watchedConn) Write(p []byte) (int, error) {
	d := writeTimeout
	if w.parting.Load() {
		d = partTimeout
	}
	if err := w.SetWriteDeadline(time.Now().Add(d)); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}

// SetDeadline is for gws, which clears it after the handshake: the clocks here are set anew
// with every call.
func (w *watchedConn) SetDeadline(time.Time) error { return nil }

// connect opens a link up to the WebSocket handshake.
func (c *Client) connect(ctx context.Context) (*link, error) {
	greetBy := time.Now().Add(greetTimeout)
	dialCtx, cancel := context.WithDeadline(ctx, greetBy)
	defer cancel()
	header := http.Header{
		"User-Agent":             {userAgent},
		"Sec-Websocket-Protocol": {codec.MsgPack.Subprotocol()},
	}
	ln := &link{
		c: c, ctx: ctx, missing: make(map[Stream]struct{}),
		raised: make(chan struct{}), nudge: make(chan struct{}, 1), denied: make(chan struct{}, 1),
	}
	var err error
	if ln.token, err = c.opts.fetchToken(dialCtx); err != nil {
		return nil, fmt.Errorf("client: token: %w", err)
	}
	if ln.token.Value != "" {
		header.Set("Authorization", "Bearer "+ln.token.Value)
	}
	conn, err := c.dialConn(dialCtx, ln, greetBy)
	if err != nil {
		return nil, err
	}
	// gws knows no context: closing under it ends its handshake.
	stop := context.AfterFunc(dialCtx, func() { _ = conn.Close() })
	defer stop()
	ws, resp, err := gws.NewClientFromConn(ln, &gws.ClientOption{
		Addr:               c.url.String(),
		RequestHeader:      header,
		HandshakeTimeout:   greetTimeout,
		ReadMaxPayloadSize: messageBytesMax,
		ReadBufferSize:     16 << 10,
		CheckUtf8Enabled:   true,
		PermessageDeflate:  gws.PermessageDeflate{Enabled: c.opts.compression},
	}, conn)
	switch {
	case err == nil:
		ln.ws = ws
		return ln, nil
	case dialCtx.Err() != nil:
		return nil, context.Cause(dialCtx)
	case resp != nil && resp.StatusCode != http.StatusSwitchingProtocols:
		return nil, httpError(resp)
	case resp != nil, errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return nil, fmt.Errorf("client: connect to %s: %w", c.url.Host, err)
}

func (c *Client) dialConn(ctx context.Context, ln *link, greetBy time.Time) (net.Conn, error) {
	host, port := c.url.Hostname(), c.url.Port()
	secure := c.url.Scheme == "wss"
	if port == "" {
		port = map[bool]string{false: "80", true: "443"}[secure]
	}
	tcp, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	ln.conn = &watchedConn{Conn: tcp, greetBy: greetBy}
	if !secure {
		return ln.conn, nil
	}
	config := &tls.Config{}
	if c.opts.tls != nil {
		config = c.opts.tls.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = host
	}
	conn := tls.Client(ln.conn, config)
	// Here and not at gws's first write, which would leave a goroutine behind when ctx ends.
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = tcp.Close()
		return nil, fmt.Errorf("client: TLS with %s: %w", c.url.Host, err)
	}
	return conn, nil
}

// httpError reads an answer that is no upgrade.
func httpError(resp *http.Response) *Error {
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // what has arrived: gws has closed the connection
	e := &Error{Code: resp.StatusCode, Message: strings.TrimSpace(string(said))}
	if e.Message == "" {
		e.Message = http.StatusText(resp.StatusCode)
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = min(time.Duration(s), retryMax/time.Second) * time.Second
	}
	return e
}

// read returns when the connection has ended.
func (ln *link) read() {
	defer func() {
		if r := recover(); r != nil { // gws 1.8.9 panics on a frame length with its top bit set
			ln.fault = fmt.Errorf("%w: a broken frame: %v", ErrProtocol, r)
			_ = ln.conn.Close()
		}
	}()
	ln.ws.ReadLoop()
}

// send writes a request. A link that does not take it ends, and the reader with it.
func (ln *link) send(message []byte) { _ = ln.ws.WriteMessage(gws.OpcodeBinary, message) }

// part says goodbye and closes. Any goroutine may call it.
func (ln *link) part(code uint16) {
	ln.conn.parting.Store(true)
	_ = ln.conn.SetWriteDeadline(time.Now().Add(partTimeout)) // for one that is under way
	if ln.ws.WriteClose(code, nil) != nil {
		_ = ln.conn.Close()
	}
}

// fail ends the link for a reason of the client's. Only the reader calls it.
func (ln *link) fail(err error) {
	if ln.fault == nil {
		ln.fault = err
	}
	ln.part(closeNormal)
}

// authAnswered notes what the node says to a token. The caller holds Client.mu.
func (ln *link) authAnswered(refused *Error) {
	ln.authed, ln.refusal = ln.authed || refused == nil, refused
	if refused != nil && ln.up {
		signal(ln.denied) // the old token holds until its end
	}
}

// OnClose notes how the connection ended.
func (ln *link) OnClose(_ *gws.Conn, err error) { ln.closing = err }

// OnPing answers with the payload, as RFC 6455 asks.
func (ln *link) OnPing(ws *gws.Conn, payload []byte) { _ = ws.WritePong(payload) }

// OnMessage takes a batch.
func (ln *link) OnMessage(_ *gws.Conn, m *gws.Message) {
	encoding := codec.MsgPack
	if m.Opcode == gws.OpcodeText {
		encoding = codec.JSON
	}
	events, err := codec.DecodeBatch(encoding, m.Bytes())
	_ = m.Close() // the events alias nothing
	if err != nil {
		ln.fail(fmt.Errorf("%w: %w", ErrProtocol, err))
		return
	}
	if ln.fault == nil {
		ln.c.take(ln, events)
	}
}

// reason tells why the link is gone: what the client found, what the node said, or what the
// system did.
func (ln *link) reason() error {
	var frame *gws.CloseError
	switch {
	case ln.fault != nil:
		return ln.fault
	case ln.bye != nil:
		return &Error{Code: ln.bye.Code, Message: ln.bye.Reason, RetryAfter: min(ln.bye.RetryAfter, retryMax)}
	case errors.As(ln.closing, &frame):
		e := &Error{Code: int(frame.Code), Message: string(frame.Reason)}
		if e.Message == "" && e.Unwrap() == nil {
			e.Message = "the node closed the connection"
		}
		return e
	case errors.Is(ln.closing, os.ErrDeadlineExceeded):
		return ErrSilent
	case ln.closing == nil, errors.Is(ln.closing, io.EOF):
		return errors.New("client: the connection broke")
	}
	return fmt.Errorf("client: the connection broke: %w", ln.closing)
}
