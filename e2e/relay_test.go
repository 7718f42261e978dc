package e2e_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// A relay passes TCP connections on to a server until it is cut, and again when it is mended.
type relay struct {
	listener net.Listener
	to       string
	done     sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}
}

// startRelay stands in front of NATS; url is where it listens.
func startRelay(t *testing.T, n *natsServer) (r *relay, url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r = &relay{listener: l, to: strings.TrimPrefix(n.url, "nats://"), conns: make(map[net.Conn]struct{})}
	r.done.Go(r.accept)
	t.Cleanup(func() {
		_ = l.Close()
		r.set(true)
		r.done.Wait()
	})
	return r, "nats://" + l.Addr().String()
}

func (r *relay) accept() {
	for {
		in, err := r.listener.Accept()
		if err != nil {
			return // closed
		}
		r.done.Go(func() { r.pass(in) })
	}
}

func (r *relay) pass(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer out.Close()
	if !r.hold(in, out) {
		return
	}
	defer r.drop(in, out)
	back := make(chan struct{})
	go func() {
		_, _ = io.Copy(in, out) // until either side ends, or the relay is cut
		_ = in.Close()
		close(back)
	}()
	_, _ = io.Copy(out, in)
	_ = out.Close()
	<-back
}

func (r *relay) hold(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		r.conns[c] = struct{}{}
	}
	return !r.cut
}

func (r *relay) drop(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		delete(r.conns, c)
	}
}

// set cuts every connection and keeps new ones out, or lets them in again.
func (r *relay) set(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
	for c := range r.conns {
		if cut {
			_ = c.Close()
		}
	}
}
