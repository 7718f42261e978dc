package floor

import (
	"bytes"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"github.com/tickcast/tickcast/bench/internal/wire"
)

// abreast is how many connections lie between two steps of a crowd.
const abreast = 256

// upgradeRequest asks for MessagePack.
const upgradeRequest = "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// Crowd opens n connections by system calls alone and returns when all have been upgraded and,
// where there is a request, have sent it as a frame and have got the ack. The descriptors are
// the caller's.
func Crowd(addr string, n int, request []byte) (fds []int, err error) {
	tcp, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, err
	}
	to := &unix.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(tcp.IP.To4())}
	c := crowd{to: to, request: request, buf: make([]byte, 16<<10)}
	for i := range n + 2*abreast {
		if i < n {
			err = c.connect()
		}
		if at := i - abreast; err == nil && at >= 0 && at < n {
			err = c.upgraded(at)
		}
		if at := i - 2*abreast; err == nil && at >= 0 {
			err = c.subscribed(at)
		}
		if err != nil {
			return c.fds, err
		}
	}
	return c.fds, nil
}

// A crowd is at three things at once: each connection gets time to answer.
type crowd struct {
	to      *unix.SockaddrInet4
	request []byte
	buf     []byte
	fds     []int
	came    [][]byte // behind the answer to the upgrade
}

func (c *crowd) connect() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("floor: socket: %w", err)
	}
	c.fds, c.came = append(c.fds, fd), append(c.came, nil)
	if err = unix.Connect(fd, c.to); err == nil {
		_, err = unix.Write(fd, []byte(upgradeRequest))
	}
	if err != nil {
		return fmt.Errorf("floor: connect: %w", err)
	}
	return nil
}

func (c *crowd) upgraded(i int) error {
	n, err := unix.Read(c.fds[i], c.buf)
	head, more, found := bytes.Cut(c.buf[:max(n, 0)], []byte("\r\n\r\n"))
	if err != nil || !found || !bytes.HasPrefix(head, []byte("HTTP/1.1 101")) {
		return fmt.Errorf("floor: upgrade answered by %q, %v", head, err)
	}
	if len(c.request) > 0 {
		c.came[i] = bytes.Clone(more)
		if _, err := unix.Write(c.fds[i], c.request); err != nil {
			return fmt.Errorf("floor: subscribe: %w", err)
		}
	}
	return nil
}

// subscribed reads frames, whose beginning may have come already, until one holds an ack.
func (c *crowd) subscribed(i int) error {
	came := c.came[i]
	c.came[i] = nil
	var seen wire.Tally
	for len(c.request) > 0 && seen.Acks == 0 {
		frame, n, err := wire.Next(came)
		if err != nil {
			return err
		}
		if n > 0 {
			seen.MsgPack(frame.Payload)
			came = came[n:]
			continue
		}
		n, err = unix.Read(c.fds[i], c.buf)
		if err != nil || n == 0 || seen.Errors > 0 {
			return fmt.Errorf("floor: no ack, %d errors, read %d: %w", seen.Errors, n, err)
		}
		came = append(came, c.buf[:n]...)
	}
	return nil
}
