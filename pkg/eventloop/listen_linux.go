package eventloop

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// vanishAfter is inherited by every connection that the listener accepts.
func vanishAfter(c syscall.RawConn, d time.Duration) (err error) {
	if d > 0 {
		raw := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
		})
		if raw != nil {
			return raw
		}
	}
	return err
}
