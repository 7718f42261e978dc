package eventloop

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// A TLSConn is the server's side of a TLS connection that can move to a loop. Until Detach it
// is a tls.Conn over the socket, for the handshakes of TLS and HTTP; from then on it belongs
// to the loop, and only what crypto/tls remembers stays of it: the loop gives it the records
// that have come and takes those that it makes.
type TLSConn struct {
	*tls.Conn
	pipe pipe
}

// A pipe is what the tls.Conn reads and writes: the socket until the connection is detached,
// then two pieces of the loop's memory. crypto/tls may be asked again after a Read whose
// error is temporary, and keeps the piece of a record that it has; after a Write that fails
// it may not, so Write takes everything.
type pipe struct {
	net.Conn // nil once detached

	in  []byte // records that have come
	out []byte // records made
}

// errNoRecord is what a Read returns that needs more records.
var errNoRecord net.Error = temporary{}

type temporary struct{}

func (temporary) Error() string   { return "eventloop: no whole record yet" }
func (temporary) Timeout() bool   { return true }
func (temporary) Temporary() bool { return true }

func (p *pipe) Read(b []byte) (int, error) {
	if p.Conn != nil {
		return p.Conn.Read(b)
	}
	if len(p.in) == 0 {
		return 0, errNoRecord
	}
	n := copy(b, p.in)
	p.in = p.in[n:]
	return n, nil
}

func (p *pipe) Write(b []byte) (int, error) {
	if p.Conn != nil {
		return p.Conn.Write(b)
	}
	p.out = append(p.out, b...)
	return len(b), nil
}

// SetWriteDeadline is called by tls.Conn.CloseWrite.
func (p *pipe) SetWriteDeadline(t time.Time) error {
	if p.Conn != nil {
		return p.Conn.SetWriteDeadline(t)
	}
	return nil
}

// take returns the records made, and forgets them.
func (p *pipe) take() []byte {
	out := p.out
	p.out = nil
	return out
}

// seal returns frames as records, in the loop's own buffer: however many records they are,
// they go out in one write.
func (c *Conn) seal(frames []byte) ([]byte, error) {
	l := c.loop
	c.tls.pipe.out = l.sealed[:0]
	_, err := c.tls.Write(frames)
	l.sealed = c.tls.pipe.take()
	return l.sealed, err
}

// sealEnd sends the alert that ends a TLS stream properly, if there is room: it is the last
// thing that is sent.
func (c *Conn) sealEnd() {
	_ = c.tls.CloseWrite()
	_, _ = write(c.fd, c.tls.pipe.take())
}

// Handshakes runs TLS handshakes, at most so many at once: each costs about a millisecond of
// CPU, and a goroutine with its buffers until its peer has answered.
type Handshakes struct {
	cfg     *tls.Config
	timeout time.Duration
	places  chan struct{}
}

// NewHandshakes returns a pool for the given number of handshakes at once, each of which may
// take timeout. A copy of cfg is used, with ALPN for HTTP/1.1 unless cfg says otherwise and
// with records as large as the batches that fill them.
func NewHandshakes(cfg *tls.Config, atOnce int, timeout time.Duration) *Handshakes {
	cfg = cfg.Clone()
	cfg.DynamicRecordSizingDisabled = true
	if cfg.NextProtos == nil {
		cfg.NextProtos = []string{"http/1.1"}
	}
	return &Handshakes{cfg: cfg, timeout: timeout, places: make(chan struct{}, atOnce)}
}

// Do waits for a place and then for c's handshake. The wait for a place counts against ctx
// only. On an error c is closed.
func (h *Handshakes) Do(ctx context.Context, c *net.TCPConn) (*TLSConn, error) {
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	case <-ctx.Done():
		_ = c.Close()
		return nil, ctx.Err()
	}
	t := &TLSConn{pipe: pipe{Conn: c}}
	t.Conn = tls.Server(&t.pipe, h.cfg)
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("TLS handshake with %v: %w", c.RemoteAddr(), err)
	}
	return t, nil
}
