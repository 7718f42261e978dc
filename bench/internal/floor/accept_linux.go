package floor

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // RFC 6455 says so
	"encoding/base64"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Upgrade is the least that accepting takes, until ctx ends: one thread that accepts, answers
// upgrade requests by system calls alone, adds to epoll, and reads nothing else.
func Upgrade(ctx context.Context, ln *net.TCPListener) error {
	file, err := ln.File()
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	_ = ln.Close()
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("floor: epoll_create1: %w", err)
	}
	defer func() { _ = unix.Close(epoll) }()
	listener := int(file.Fd())
	if err := unix.SetNonblock(listener, true); err != nil {
		return err
	}
	watch := func(fd int) error {
		return unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	}
	if err := watch(listener); err != nil {
		return err
	}
	events, buf := make([]unix.EpollEvent, 256), make([]byte, 4<<10)
	const lookMS = 100
	for ctx.Err() == nil {
		n, _ := unix.EpollWait(epoll, events, lookMS)
		for _, ev := range events[:max(0, n)] {
			if fd := int(ev.Fd); fd != listener {
				answer(fd, buf)
				continue
			}
			for {
				fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
				if err != nil || watch(fd) != nil {
					break
				}
			}
		}
	}
	return nil
}

func answer(fd int, buf []byte) {
	n, _ := unix.Read(fd, buf)
	if n <= 0 {
		_ = unix.Close(fd)
		return
	}
	_, rest, _ := bytes.Cut(buf[:n], []byte("Sec-WebSocket-Key: "))
	key, _, _ := bytes.Cut(rest, []byte("\r\n"))
	sum := sha1.Sum(append(key[:len(key):len(key)], "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...)) //nolint:gosec // RFC 6455 says so
	said := append([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "), base64.StdEncoding.EncodeToString(sum[:])...)
	_, _ = unix.Write(fd, append(said, "\r\n\r\n"...))
}
