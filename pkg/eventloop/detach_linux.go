package eventloop

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Detach takes the socket out of a *net.TCPConn or *TLSConn, and out of the Go runtime's
// poller, and returns its descriptor, which is non-blocking and the caller's. c is closed
// and must not be in use by another goroutine; ask for its addresses before. On an error c
// is as it was.
func Detach(c net.Conn) (fd int, err error) {
	switch c := c.(type) {
	case *net.TCPConn:
		return detach(c)
	case *TLSConn:
		tcp, ok := c.pipe.Conn.(*net.TCPConn)
		if !ok {
			return -1, fmt.Errorf("eventloop: detach %T twice", c)
		}
		if fd, err = detach(tcp); err == nil {
			c.pipe.Conn = nil
		}
		return fd, err
	}
	return -1, fmt.Errorf("eventloop: cannot detach a %T", c)
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
