package eventloop

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// Client returns the address for which a proxy has made the connection, as its PROXY header
// says; false if there is none, or it speaks for itself. The header is read with the connection's
// first bytes: ask behind them.
func Client(c net.Conn) (netip.AddrPort, bool) {
	if p, ok := beneath(c).(*proxied); ok {
		return p.client, p.client.IsValid()
	}
	return netip.AddrPort{}, false
}

// beneath is the connection under TLS, or itself.
func beneath(c net.Conn) net.Conn {
	if over, ok := c.(*tls.Conn); ok {
		if p, ok := over.NetConn().(*pipe); ok {
			return p.Conn
		}
	}
	return c
}

// A begun connection has said something before it became a net.Conn.
type begun struct {
	net.Conn
	said []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.said) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.said)
	b.said = b.said[n:]
	return n, nil
}

// CloseWrite has net/http end an answer without a reset.
func (b *begun) CloseWrite() error { return b.socket().CloseWrite() }

func (b *begun) socket() *net.TCPConn { return Socket(b.Conn) }

// unread is what has come and was not read yet.
func (b *begun) unread() []byte { return b.said }

// A proxied connection is a proxy's, and begins with a PROXY header. That is read by the first
// Read, and with it the time that whoever reads gives to his peers.
type proxied struct {
	begun
	read   bool
	client netip.AddrPort
	err    error // why there is no more to read
}

func (p *proxied) Read(b []byte) (int, error) {
	if !p.read {
		p.read = true
		p.client, p.said, p.err = readProxy(p.Conn)
	}
	if p.err != nil {
		return 0, p.err
	}
	return p.begun.Read(b)
}

// saidMax is how much is read of what a peer says first. It is no more than net/http reads at
// once, so that nothing of it is left in a connection that net/http gives up.
const saidMax = 4 << 10

// readProxy reads a PROXY header, version 1 or 2, and what came with it. The address is not
// valid where the proxy speaks for itself. An error of r is returned as it is.
func readProxy(r io.Reader) (client netip.AddrPort, behind []byte, err error) {
	from := &source{Reader: r}
	br := bufio.NewReaderSize(from, saidMax)
	h, err := proxyproto.Read(br)
	switch {
	case from.err != nil:
		return client, nil, from.err
	case err != nil:
		return client, nil, fmt.Errorf("eventloop: PROXY header: %w", err)
	}
	behind, _ = br.Peek(br.Buffered())
	behind = bytes.Clone(behind) // or the whole buffer would stay
	if h.Command.IsLocal() {
		return client, behind, nil
	}
	tcp, ok := h.SourceAddr.(*net.TCPAddr)
	if !ok {
		return client, nil, fmt.Errorf("eventloop: PROXY header: %T is no address of TCP", h.SourceAddr)
	}
	at := tcp.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), behind, nil
}

// A source keeps the error of its Reader, which a parser may put in words of its own.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(p []byte) (n int, err error) {
	n, err = s.Reader.Read(p)
	s.err = err
	return n, err
}
