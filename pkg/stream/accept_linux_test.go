package stream_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tickcast/tickcast/internal/uplink"
	"github.com/tickcast/tickcast/pkg/eventloop"
	"github.com/tickcast/tickcast/pkg/stream"
)

// BenchmarkAccept has a crowd connect and upgrade, by turns, to a node and to the floor: one
// thread that accepts, answers and adds to epoll; over TLS, behind a handshake in a goroutine.
// Both sides are in one process, so the crowd's own cost is in both. Times are of CPU, which a
// busy machine does not stretch.
func BenchmarkAccept(b *testing.B) {
	crowd := 2_000
	if secure {
		crowd = 200
	}
	request := []byte(strings.Join(goodHandshake(), "\r\n") + "\r\n\r\n")
	node, floor := acceptingNode(b), acceptingFloor(b)
	if secure {
		floor = acceptingTLS(b)
	}
	var spent [2]time.Duration
	for b.Loop() {
		for i, addr := range []*net.TCPAddr{floor, node} {
			start := cpuTime()
			leave := crowdOf(b, addr, crowd, request)
			spent[i] += cpuTime() - start
			leave()
		}
	}
	upgrades := time.Duration(b.N * crowd)
	b.ReportMetric(float64(spent[0]/upgrades), "floor-ns/upgrade")
	b.ReportMetric(float64(spent[1]/upgrades), "node-ns/upgrade")
	b.ReportMetric(float64(spent[1])/float64(spent[0]), "node/floor")
}

// crowdOf has n subscribers connect and upgrade, over TLS where the rig has it.
func crowdOf(b testing.TB, addr *net.TCPAddr, n int, request []byte) (leave func()) {
	if secure {
		conns := upgradeSecureCrowd(b, addr.String(), n, request)
		return func() {
			for _, c := range conns {
				_ = c.Close()
			}
		}
	}
	fds := upgradeCrowd(b, addr, n, request)
	return func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}
}

// acceptingTLS answers upgrades over TLS from a goroutine each, and no other request.
func acceptingTLS(b *testing.B) *net.TCPAddr {
	ln, err := tls.Listen("tcp", "127.0.0.1:0", serverTLS(b))
	if err != nil {
		b.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				buf := make([]byte, 4<<10)
				for n, err := c.Read(buf); err == nil; n, err = c.Read(buf) {
					_, _ = c.Write(floorAnswer(buf[:n]))
				}
			})
		}
	})
	b.Cleanup(func() {
		_ = ln.Close()
		all.Wait()
	})
	return ln.Addr().(*net.TCPAddr)
}

// floorAnswer is what the least that could be done says to an upgrade request.
func floorAnswer(request []byte) []byte {
	_, rest, _ := bytes.Cut(request, []byte("Sec-WebSocket-Key: "))
	key, _, _ := bytes.Cut(rest, []byte("\r\n"))
	sum := sha1.Sum(append(key[:len(key):len(key)], "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	return fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
}

// cpuTime is what the process has used.
func cpuTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func acceptingNode(b *testing.B) *net.TCPAddr {
	node, err := stream.New(stream.Config{Engine: engine, HandshakesPerSecond: 1_000_000}, uplink.Uplink{Bus: newBus(b)})
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	node.Register(mux)
	var listen eventloop.ListenConfig
	if secure {
		listen.TLS = serverTLS(b)
	}
	ln, err := eventloop.Listen("127.0.0.1:0", listen)
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
				_, _ = unix.Write(int(ev.Fd), floorAnswer(buf[:n]))
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

// upgradeSecureCrowd does over TLS, some at a time, what upgradeCrowd does.
func upgradeSecureCrowd(t testing.TB, addr string, n int, request []byte) []*net.TCPConn {
	t.Helper()
	conns := make([]*net.TCPConn, n)
	var dialers sync.WaitGroup
	const atOnce = 20
	for first := range atOnce {
		dialers.Go(func() {
			for i := first; i < n; i += atOnce {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				conns[i] = c.(*net.TCPConn)
				over := tls.Client(c, clientTLS)
				answer := make([]byte, len("HTTP/1.1 101"))
				if _, err = over.Write(request); err == nil {
					_, err = io.ReadFull(over, answer)
				}
				if err != nil || !strings.HasSuffix(string(answer), "101") {
					t.Errorf("upgrade: %q, %v", answer, err)
				}
			}
		})
	}
	dialers.Wait()
	return conns
}
