package stream

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"strings"
	"unicode"

	"github.com/tickcast/tickcast/pkg/eventloop"
)

// Early returns the listener that an http.Server is to serve instead of ln. Under the epoll
// engine and without TLS it takes good upgrade requests out of what is accepted: they spare
// net/http's goroutine and buffers. Everything else, refusals too, is net/http's.
func (n *Node) Early(ln *eventloop.Listener) (net.Listener, error) {
	e, ok := n.engine.(*epollEngine)
	if !ok || ln.Secure() {
		return ln, nil
	}
	return ln.Early(loopConfig, newEarly(n, e).take)
}

// early takes upgrade requests before net/http sees them. It belongs to one goroutine.
type early struct {
	n    *Node
	e    *epollEngine
	over context.Context // of the requests: it has ended, so that they wait for nothing here
	said bytes.Reader
	br   *bufio.Reader
}

func newEarly(n *Node, e *epollEngine) *early {
	over, end := context.WithCancel(context.Background())
	end()
	d := &early{n: n, e: e, over: over}
	d.br = bufio.NewReader(&d.said) // of 4 KiB: it holds all that take is shown
	return d
}

// take reports false, and has changed nothing, for what net/http is to answer.
func (d *early) take(fd int, peer, client netip.AddrPort, said []byte) bool {
	r, rest := d.request(said)
	if r == nil {
		return false
	}
	r.RemoteAddr = peer.String()
	if client.IsValid() {
		r = r.WithContext(withClient(d.over, client.Addr))
	}
	session, no := d.n.letIn(r)
	if no != nil {
		return false
	}
	answer, err := d.e.answer(r, session)
	if err != nil {
		session.leave()
		return false
	}
	d.e.adopt(eventloop.Adopted{Fd: fd, Sized: true, Answer: answer, Rest: bytes.Clone(rest)}, session)
	return true
}

const earlyLine = "GET /v1/stream HTTP/1.1\r\n"

// request returns nil for what is no whole request for the stream, or not plainly one. A token
// is for net/http's goroutine too: to check it takes a while.
func (d *early) request(said []byte) (r *http.Request, rest []byte) {
	line, found := bytes.CutPrefix(said, []byte(earlyLine))
	if !found {
		return nil, nil
	}
	d.said.Reset(line)
	d.br.Reset(&d.said)
	header, err := textproto.NewReader(d.br).ReadMIMEHeader()
	if err != nil || !plainHeader(header) {
		return nil, nil
	}
	hosts := header["Host"]
	if len(hosts) != 1 || strings.ContainsFunc(hosts[0], unusualInHost) {
		return nil, nil
	}
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "Expect", "Authorization"} {
		if header[name] != nil {
			return nil, nil
		}
	}
	r = &http.Request{
		Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header(header), Host: hosts[0],
	}
	return r.WithContext(d.over), said[len(said)-d.br.Buffered():]
}

// plainHeader reports false for what textproto reads and net/http then refuses.
func plainHeader(h textproto.MIMEHeader) bool {
	for name, values := range h {
		if strings.ContainsFunc(name, unusualInName) {
			return false
		}
		for _, v := range values {
			if strings.ContainsFunc(v, unicode.IsControl) {
				return false
			}
		}
	}
	return true
}

func unusualInName(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_')
}

func unusualInHost(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-._:[]", c))
}
