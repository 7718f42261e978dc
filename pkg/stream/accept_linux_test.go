package stream_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tickcast/tickcast/internal/uplink"
	"github.com/tickcast/tickcast/pkg/eventloop"
	"github.com/tickcast/tickcast/pkg/stream"
)

// BenchmarkAccept has a crowd connect and upgrade, by turns, to a node and to the floor: one
// thread that accepts, answers and adds to epoll. Both sides are in one process, so the
// crowd's own cost is in both. Times are of CPU, which a busy machine does not stretch.
func BenchmarkAccept(b *testing.B) {
	if secure || engine != stream.EngineEpoll {
		b.SkipNow()
	}
	const crowd = 2_000
	request := []byte(strings.Join(goodHandshake(), "\r\n") + "\r\n\r\n")
	node := acceptingNode(b)
	floor := acceptingFloor(b)
	var spent [2]time.Duration
	for b.Loop() {
		for i, addr := range []*net.TCPAddr{floor, node} {
			start := cpuTime()
			fds := upgradeCrowd(b, addr, crowd, request)
			spent[i] += cpuTime() - start
			for _, fd := range fds {
				_ = unix.Close(fd)
			}
		}
	}
	upgrades := time.Duration(b.N * crowd)
	b.ReportMetric(float64(spent[0]/upgrades), "floor-ns/upgrade")
	b.ReportMetric(float64(spent[1]/upgrades), "node-ns/upgrade")
	b.ReportMetric(float64(spent[1])/float64(spent[0]), "node/floor")
}

// cpuTime is what the process has used.
func cpuTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func acceptingNode(b *testing.B) *net.TCPAddr {
	node, err := stream.New(stream.Config{Engine: stream.EngineEpoll, HandshakesPerSecond: 1_000_000}, uplink.Uplink{Bus: newBus(b)})
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	node.Register(mux)
	ln, err := eventloop.Listen("127.0.0.1:0", eventloop.ListenConfig{})
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: patience, ErrorLog: log.New(io.Discard, "", 0)}
	early, err := node.Early(ln)
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = server.Serve(early) }()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		<-done
		_ = server.Close()
	})
	return ln.Addr().(*net.TCPAddr)
}

// upgradeCrowd connects n sockets, sends the request on each, and waits for each answer.
func upgradeCrowd(b testing.TB, addr *net.TCPAddr, n int, request []byte) []int {
	to := &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte{127, 0, 0, 1}}
	fds := make([]int, n)
	for i := range fds {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Connect(fd, to)
		}
		if err == nil {
			_, err = unix.Write(fd, request)
		}
		if err != nil {
			b.Fatal(err)
		}
		fds[i] = fd
	}
	answer := make([]byte, 4<<10)
	for _, fd := range fds {
		if n, err := unix.Read(fd, answer); err != nil || !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 101")) {
			b.Fatalf("got %q, %v", answer[:max(0, n)], err)
		}
	}
	return fds
}

// acceptingFloor answers upgrades by system calls alone, and no other request.
func acceptingFloor(b *testing.B) *net.TCPAddr {
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(err)
	addr := ln.Addr().(*net.TCPAddr)
	file, err := ln.File()
	must(err)
	_ = ln.Close()
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	must(err)
	listener := int(file.Fd())
	must(unix.SetNonblock(listener, true))
	must(unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, listener, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(listener)}))
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		events, buf := make([]unix.EpollEvent, 256), make([]byte, 4<<10)
		for {
			select {
			case <-stop:
				return
			default:
			}
			n, _ := unix.EpollWait(epoll, events, 100)
			for _, ev := range events[:max(0, n)] {
				if int(ev.Fd) == listener {
					acceptAll(epoll, listener)
					continue
				}
				n, _ := unix.Read(int(ev.Fd), buf)
				if n <= 0 {
					_ = unix.Close(int(ev.Fd))
					continue
				}
				_, rest, _ := bytes.Cut(buf[:n], []byte("Sec-WebSocket-Key: "))
				key, _, _ := bytes.Cut(rest, []byte("\r\n"))
				sum := sha1.Sum(append(key[:len(key):len(key)], "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
				answer := append([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "), base64.StdEncoding.EncodeToString(sum[:])...)
				_, _ = unix.Write(int(ev.Fd), append(answer, "\r\n\r\n"...))
			}
		}
	}()
	b.Cleanup(func() {
		close(stop)
		<-done
		_ = unix.Close(epoll)
		_ = file.Close()
	})
	return addr
}

func acceptAll(epoll, listener int) {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		_ = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	}
}
