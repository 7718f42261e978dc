package floor

import (
	"bytes"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"github.com/tickcast/tickcast/bench/internal/wire"
)

// abreast is how many of a crowd are on their way at once.
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
	buf := make([]byte, 16<<10)
	for len(fds) < n {
		first := len(fds)
		for range min(abreast, n-first) {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return fds, fmt.Errorf("floor: socket: %w", err)
			}
			fds = append(fds, fd)
			if err = unix.Connect(fd, to); err == nil {
				_, err = unix.Write(fd, []byte(upgradeRequest))
			}
			if err != nil {
				return fds, fmt.Errorf("floor: connect: %w", err)
			}
		}
		group := fds[first:]
		rest := make([][]byte, len(group))
		for i, fd := range group {
			n, err := unix.Read(fd, buf)
			head, more, found := bytes.Cut(buf[:max(n, 0)], []byte("\r\n\r\n"))
			if err != nil || !found || !bytes.HasPrefix(head, []byte("HTTP/1.1 101")) {
				return fds, fmt.Errorf("floor: upgrade answered by %q, %v", head, err)
			}
			if rest[i] = bytes.Clone(more); len(request) > 0 {
				if _, err := unix.Write(fd, request); err != nil {
					return fds, fmt.Errorf("floor: subscribe: %w", err)
				}
			}
		}
		for i, fd := range group {
			if err := awaitAck(fd, rest[i], buf, len(request) > 0); err != nil {
				return fds, err
			}
		}
	}
	return fds, nil
}

// awaitAck reads frames, whose beginning may have come already, until one holds an ack.
func awaitAck(fd int, came, buf []byte, wanted bool) error {
	var seen wire.Tally
	for wanted && seen.Acks == 0 {
		frame, n, err := wire.Next(came)
		if err != nil {
			return err
		}
		if n > 0 {
			seen.MsgPack(frame.Payload)
			came = came[n:]
			continue
		}
		n, err = unix.Read(fd, buf)
		if err != nil || n == 0 || seen.Errors > 0 {
			return fmt.Errorf("floor: no ack, %d errors, read %d: %w", seen.Errors, n, err)
		}
		came = append(came, buf[:n]...)
	}
	return nil
}
