package eventloop

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"
)

// A pipe is what a tls.Conn from a Listener reads and writes: the socket until the connection
// is detached, then two pieces of a loop's memory. crypto/tls may be asked again after a Read
// whose error is temporary, and keeps the piece of a record that it has; after a Write that
// fails it may not, so Write takes everything.
type pipe struct {
	net.Conn // nil once detached

	tls *tls.Conn // over this pipe
	in  []byte    // records that have come
	out []byte    // records made

	places   places
	holding  atomic.Bool // a place
	answered bool        // no place is needed any more
}

// places bounds how many handshakes compute at once. Each costs up to a millisecond, and a
// crowd of them would keep the loops from their turns. A place is held from a read of the
// peer's hello to the first answer, which covers the signature and the key exchange, and
// never while waiting for the peer, so that one who sends slowly keeps it from nobody.
type places chan struct{}

func (p *pipe) enter() {
	p.places <- struct{}{}
	p.holding.Store(true)
}

func (p *pipe) leave() {
	if p.holding.CompareAndSwap(true, false) {
		<-p.places
	}
}

// errNoRecord is what a Read returns that needs more records.
var errNoRecord net.Error = temporary{}

type temporary struct{}

func (temporary) Error() string   { return "eventloop: no whole record yet" }
func (temporary) Timeout() bool   { return true }
func (temporary) Temporary() bool { return true }

func (p *pipe) Read(b []byte) (int, error) {
	if p.Conn != nil {
		if p.answered {
			return p.Conn.Read(b)
		}
		p.leave()
		n, err := p.Conn.Read(b)
		if err == nil {
			p.enter()
		}
		return n, err
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
		if !p.answered {
			p.answered = true
			p.leave()
		}
		return p.Conn.Write(b)
	}
	p.out = append(p.out, b...)
	return len(b), nil
}

// Close gives back the place of a handshake that ended without an answer.
func (p *pipe) Close() error {
	p.leave()
	if p.Conn == nil {
		return net.ErrClosed
	}
	return p.Conn.Close()
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
