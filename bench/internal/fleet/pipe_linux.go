package fleet

import (
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// A pipe is what a tls.Conn reads and writes: the net.Conn during the handshake, then the
// descriptor. A Read that finds nothing is a timeout, after which crypto/tls can be asked
// again.
type pipe struct {
	net.Conn // nil once detached
	fd       int
}

func (p *pipe) detach(fd int) { p.Conn, p.fd = nil, fd }

func (p *pipe) Read(b []byte) (int, error) {
	if p.Conn != nil {
		return p.Conn.Read(b)
	}
	n, err := readFD(p.fd, b)
	if errors.Is(err, unix.EAGAIN) {
		err = nothingYet{}
	}
	return n, err
}

func (p *pipe) Write(b []byte) (int, error) {
	if p.Conn != nil {
		return p.Conn.Write(b)
	}
	return unix.Write(p.fd, b)
}

// SetWriteDeadline is called by a tls.Conn that sends an alert.
func (p *pipe) SetWriteDeadline(t time.Time) error {
	if p.Conn != nil {
		return p.Conn.SetWriteDeadline(t)
	}
	return nil
}

type nothingYet struct{}

func (nothingYet) Error() string   { return "fleet: nothing has come yet" }
func (nothingYet) Timeout() bool   { return true }
func (nothingYet) Temporary() bool { return true }
