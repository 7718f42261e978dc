package eventloop

import (
	"crypto/tls"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Detach takes the socket out of a *net.TCPConn, or a *tls.Conn from a Listener, and out of
// the Go runtime's poller. It becomes non-blocking and the caller's, to be given to Adopt; what
// was read of it but not given out goes with it. c is closed and must not be in use by
// another goroutine; ask for its addresses before. On an error c is as it was.
func Detach(c net.Conn) (a Adopted, err error) {
	socket, under := Socket(c), beneath(c)
	if socket == nil {
		return Adopted{}, fmt.Errorf("eventloop: cannot detach a %T", c)
	}
	if a.Fd, err = detach(socket); err != nil {
		return Adopted{}, err
	}
	var unread []byte
	if b, ok := under.(interface{ unread() []byte }); ok {
		unread = b.unread()
	}
	if over, ok := c.(*tls.Conn); ok {
		a.tls = over.NetConn().(*pipe)
		a.tls.Conn, a.tls.in = nil, unread
	} else {
		a.Rest = unread
	}
	return a, nil
}

// detach leaves a second descriptor of the socket behind when it closes the first: the
// runtime gives no way to take the first from its poller. File would do the same, and make
// the socket blocking.
func detach(c *net.TCPConn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	var dupErr error
	err = raw.Control(func(old uintptr) {
		fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err == nil {
		err = dupErr
	}
	if err != nil {
		return -1, fmt.Errorf("eventloop: detach: %w", err)
	}
	_ = c.Close()
	return fd, nil
}
