package stream

import (
	"bytes"
	"context"
	"net"
	"net/netip"

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
	n *Node
	e *epollEngine
	earlyReader
}

func newEarly(n *Node, e *epollEngine) *early {
	over, end := context.WithCancel(context.Background())
	end() // so that requests wait for nothing here
	return &early{n: n, e: e, earlyReader: newEarlyReader(over)}
}

// take reports false, and has changed nothing, for what net/http is to answer.
func (d *early) take(fd int, peer, client netip.AddrPort, said []byte) bool {
	r, rest := d.read(said)
	if r == nil {
		return false
	}
	r.RemoteAddr = peer.String()
	if client.IsValid() {
		r = r.WithContext(withClient(r.Context(), client.Addr))
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
