package e2e_test

import (
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// A service spreads new connections over the nodes that are ready, as a cluster's does: by
// address alone, and without a say in connections that are open.
type service struct {
	t        *testing.T
	listener net.Listener
	done     chan struct{}
	running  sync.WaitGroup

	mu    sync.Mutex
	pods  []*pod
	conns map[net.Conn]bool
}

// A pod is a node as its cluster sees it.
type pod struct {
	*streamer
	ready, leaving bool
}

// probeEvery is the cluster's readiness period, and what it takes to tell of a change.
const probeEvery = 100 * time.Millisecond

func startService(t *testing.T) *service {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, listener: listener, done: make(chan struct{}), conns: make(map[net.Conn]bool)}
	s.running.Go(s.accept)
	s.running.Go(s.probe)
	t.Cleanup(func() {
		close(s.done)
		_ = listener.Close()
		s.mu.Lock()
		for c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.running.Wait()
		http.DefaultClient.CloseIdleConnections()
	})
	return s
}

// front is the service in the place of a node, for subscribers to dial.
func (s *service) front() *streamer {
	return &streamer{process: &process{t: s.t}, addr: s.listener.Addr().String()}
}

// add makes a node a pod that is not ready yet.
func (s *service) add(n *streamer) *pod {
	p := &pod{streamer: n}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pods = append(s.pods, p)
	return p
}

// leave takes the pod out of the endpoints, after the time that telling everybody takes.
func (s *service) leave(p *pod) {
	s.running.Go(func() {
		if s.sleep(probeEvery) {
			s.mu.Lock()
			p.leaving = true
			s.mu.Unlock()
		}
	})
}

func (s *service) isReady(p *pod) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.ready
}

func (s *service) sleep(d time.Duration) bool {
	select {
	case <-s.done:
		return false
	case <-time.After(d):
		return true
	}
}

func (s *service) probe() {
	for s.sleep(probeEvery) {
		s.mu.Lock()
		pods := slices.Clone(s.pods)
		s.mu.Unlock()
		for _, p := range pods {
			answer, err := http.Get("http://" + p.admin + "/readyz")
			ready := err == nil && answer.StatusCode == http.StatusOK
			if err == nil {
				_ = answer.Body.Close()
			}
			s.mu.Lock()
			p.ready = ready
			s.mu.Unlock()
		}
	}
}

func (s *service) accept() {
	for {
		in, err := s.listener.Accept()
		if err != nil {
			return // closed by the test's end
		}
		s.running.Go(func() { s.carry(in) })
	}
}

func (s *service) carry(in net.Conn) {
	s.mu.Lock()
	var ready []*pod
	for _, p := range s.pods {
		if p.ready && !p.leaving {
			ready = append(ready, p)
		}
	}
	s.mu.Unlock()
	if len(ready) == 0 {
		_ = in.Close()
		return
	}
	out, err := net.Dial("tcp", ready[rand.IntN(len(ready))].addr)
	if err != nil {
		_ = in.Close()
		return
	}
	for _, c := range []net.Conn{in, out} {
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		defer func() {
			_ = c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		}()
	}
	back := make(chan struct{})
	go func() {
		_, _ = io.Copy(in, out)
		_ = in.(*net.TCPConn).CloseWrite()
		close(back)
	}()
	_, _ = io.Copy(out, in)
	_ = out.(*net.TCPConn).CloseWrite()
	<-back
}
