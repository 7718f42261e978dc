package eventloop

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func listen(t *testing.T, cfg ListenConfig) *Listener {
	t.Helper()
	ln, err := Listen("127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

func dialTCP(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

func TestCloseEndsTheWaitForADescriptor(t *testing.T) {
	told := make(chan error, 1)
	ln := listen(t, ListenConfig{Full: func(err error) { told <- err }})
	ln.full, ln.highest = true, 0
	accepted := make(chan error, 1)
	go func() {
		_, err := ln.Accept()
		accepted <- err
	}()
	if err := receive(t, told); !errors.Is(err, errReserve) {
		t.Errorf("told %v", err)
	}
	_ = ln.Close()
	if err := receive(t, accepted); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
}

// A peer whose machine is gone acknowledges nothing, and closes nothing.
func TestAPeerThatVanishesIsNoticed(t *testing.T) {
	ln := listen(t, ListenConfig{VanishAfter: 100 * time.Millisecond})
	client := dialTCP(t, ln.Addr().String())
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := client.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	deaf := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}} // takes 0 bytes of every segment
	_ = raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &deaf[0]})
	})
	if err != nil {
		t.Fatal(err)
	}
	ends := make(chan end, 1)
	l := startLoop(t, &probe{
		open:   func(c *Conn) { c.Write([]byte("\x81\x01x")) },
		closed: func(_ *Conn, code int, err error) { ends <- end{code, err} },
	}, Config{})
	a, err := Detach(server)
	if err != nil {
		t.Fatal(err)
	}
	l.Adopt(a)
	if got := receive(t, ends); got.code != codeAbnormal || !errors.Is(got.err, unix.ETIMEDOUT) {
		t.Errorf("Closed with %v", got)
	}
}

// Handshakes compute one at a time where there is one place; nobody holds it who says nothing,
// or nonsense, or sends slowly.
func TestHandshakesComputeInTurn(t *testing.T) {
	var computing, most, served atomic.Int64
	cfg := testTLS().Clone()
	cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		most.Store(max(most.Load(), computing.Add(1)))
		runtime.Gosched()
		computing.Add(-1)
		return &cfg.Certificates[0], nil
	}
	ln := listen(t, ListenConfig{TLS: cfg})
	ln.places = make(places, 1)
	server := &http.Server{ReadHeaderTimeout: patience, ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) })}
	go func() { _ = server.Serve(ln) }()
	defer server.Close()
	addr := ln.Addr().String()
	dialTCP(t, addr) // silent
	_, _ = dialTCP(t, addr).Write([]byte("\x16\x03\x01"))
	_, _ = dialTCP(t, addr).Write([]byte("nonsense, and more than a record header of it"))
	answers := make(chan error, 20)
	for range cap(answers) {
		go func() {
			c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, ServerName: "node"})
			if err == nil {
				_, err = fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			}
			if err == nil {
				_, err = io.ReadAll(c)
				_ = c.Close()
			}
			answers <- err
		}()
	}
	for range cap(answers) {
		if err := receive(t, answers); err != nil {
			t.Error(err)
		}
	}
	if most.Load() != 1 || served.Load() != int64(cap(answers)) {
		t.Errorf("%d at once, %d served", most.Load(), served.Load())
	}
	until(t, "the place is free", func() bool { return len(ln.places) == 0 })
}

func TestPlainHTTPIsToldToUseTLS(t *testing.T) {
	ln := listen(t, ListenConfig{TLS: testTLS()})
	server := &http.Server{ReadHeaderTimeout: patience, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.Serve(ln) }()
	defer server.Close()
	c := dialTCP(t, ln.Addr().String())
	_, _ = c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	if answer, err := io.ReadAll(c); err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.0 400 ")) {
		t.Errorf("got %q, %v", answer, err)
	}
}

// A peer that sends a byte now and then gets no further than the timeout of the server that
// the listener is for, neither in its hello nor in its request.
func TestSlowHandshakesAreCut(t *testing.T) {
	hello := func() []byte {
		here, there := net.Pipe()
		defer here.Close()
		go func() { _ = tls.Client(there, &tls.Config{InsecureSkipVerify: true}).Handshake() }()
		buf := make([]byte, 4<<10)
		n, _ := here.Read(buf)
		return buf[:n]
	}()
	for _, tt := range []struct {
		name  string
		tls   *tls.Config
		bytes []byte
	}{
		{"request", nil, []byte("GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 4<<10))},
		{"hello", testTLS(), hello},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln := listen(t, ListenConfig{TLS: tt.tls})
			server := &http.Server{ReadHeaderTimeout: 100 * time.Millisecond, ErrorLog: log.New(io.Discard, "", 0)}
			go func() { _ = server.Serve(ln) }()
			defer server.Close()
			c := dialTCP(t, ln.Addr().String())
			_ = c.SetNoDelay(true)
			sent := 0
			for ; sent < len(tt.bytes); sent++ {
				if _, err := c.Write(tt.bytes[sent : sent+1]); err != nil {
					break
				}
				time.Sleep(5 * time.Millisecond) // is how slow it is
			}
			if sent == len(tt.bytes) {
				t.Error("all was taken")
			}
		})
	}
}
