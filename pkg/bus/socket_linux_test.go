package bus

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// socketPair returns both ends of a connection, the one to be read as a socket.
func socketPair(t *testing.T) (s *socket, peer net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = ln.Close() }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	must(t, err)
	s, err = newSocket(conn.(*net.TCPConn))
	must(t, err)
	peer, err = ln.Accept()
	must(t, err)
	t.Cleanup(func() { _, _ = s.Close(), peer.Close() })
	return s, peer
}

// TestASleepEnds: not before its time, as often as it is asked for, and at once when the socket
// is closed.
func TestASleepEnds(t *testing.T) {
	s, _ := socketPair(t)
	for _, d := range []time.Duration{time.Millisecond, 0, 3 * time.Millisecond} {
		start := time.Now()
		if s.sleep(d); time.Since(start) < d {
			t.Errorf("slept %v of %v", time.Since(start), d)
		}
	}
	asleep := make(chan struct{})
	go func() {
		defer close(asleep)
		s.sleep(time.Hour)
	}()
	must(t, s.Close())
	select {
	case <-asleep:
	case <-time.After(patience):
		t.Error("still asleep")
	}
}

// TestASleeperHearsAllInTheEnd: what came during a sleep is there after it, nothing wakes it
// before its time, and what comes after a look that found nothing is heard, byte by byte.
func TestASleeperHearsAllInTheEnd(t *testing.T) {
	s, peer := socketPair(t)
	for _, tt := range []struct {
		name         string
		during, then string
	}{
		{"something, then something", "abc", "d"},
		{"nothing, then something", "", "e"},
		{"something and then as little again", "f", "g"},
		{"nothing and nothing for long", "", ""},
		{"and something in the end", "h", "i"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := io.WriteString(peer, tt.during)
			must(t, err)
			const nap = 20 * time.Millisecond
			start := time.Now()
			if s.sleep(nap); time.Since(start) < nap {
				t.Errorf("woke after %v of %v", time.Since(start), nap)
			}
			if !s.deaf {
				t.Error("the sleeper heard")
			}
			for _, want := range []string{tt.during, tt.then} {
				if want == "" {
					continue
				}
				if want == tt.then {
					go func() { _, _ = io.WriteString(peer, want) }() // before or after the reader waits
				}
				got := make([]byte, len(want))
				if _, err := io.ReadFull(s, got); err != nil || string(got) != want {
					t.Fatalf("got %q, %v, want %q", got, err, want)
				}
			}
		})
	}
	go func() { _ = peer.Close() }()
	if n, err := s.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("after the peer's end: %d bytes, %v", n, err)
	}
}

func TestASocketKeepsItsDeadline(t *testing.T) {
	s, _ := socketPair(t)
	must(t, s.SetReadDeadline(time.Now().Add(time.Millisecond)))
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	must(t, s.Close())
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestASleeperMissesNothingHoweverMuchComes: the kernel holds the peer up, and lets it go on.
func TestASleeperMissesNothingHoweverMuchComes(t *testing.T) {
	s, peer := socketPair(t)
	const all = 16 << 20
	sent := make(chan error, 1)
	go func() {
		_, err := peer.Write(make([]byte, all))
		sent <- err
	}()
	buf := make([]byte, 32<<10)
	for got := 0; got < all; {
		s.sleep(100 * time.Microsecond)
		for n := len(buf); n == len(buf) && got < all; {
			var err error
			n, err = s.Read(buf)
			must(t, err)
			got += n
		}
	}
	must(t, <-sent)
}
