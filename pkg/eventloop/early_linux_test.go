package eventloop

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tickcast/tickcast/internal/waiting"
)

// takingX takes what begins with x, and answers it by the peer's address and what was said.
func takingX(t *testing.T) net.Listener {
	t.Helper()
	ln, err := listen(t, ListenConfig{}).Early(Config{}, func(fd int, peer, _ netip.AddrPort, said []byte) bool {
		if said[0] != 'x' {
			return false
		}
		_, _ = unix.Write(fd, append([]byte(peer.String()+" "), said...))
		_ = unix.Close(fd)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

func TestEarlyTakesOrPassesOn(t *testing.T) {
	ln := takingX(t)
	passed := make(chan net.Conn)
	ended := make(chan error, 1)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				ended <- err
				return
			}
			passed <- c
		}
	}()
	for _, tt := range []struct {
		name, first, then string
		taken             bool
	}{
		{"what is taken never becomes a net.Conn", "x1", "", true},
		{"what is not taken is read from its beginning", "y", "z", false},
		{"who says nothing is passed on", "", "x", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dialTCP(t, ln.Addr().String())
			if _, err := io.WriteString(c, tt.first); err != nil {
				t.Fatal(err)
			}
			if tt.taken {
				got, err := io.ReadAll(c)
				if want := c.LocalAddr().String() + " " + tt.first; string(got) != want || err != nil {
					t.Errorf("got %q, %v, want %q", got, err, want)
				}
				return
			}
			s := <-passed
			defer s.Close()
			if got, want := s.RemoteAddr().String(), c.LocalAddr().String(); got != want {
				t.Errorf("from %s, want %s", got, want)
			}
			if _, err := io.WriteString(c, tt.then); err != nil {
				t.Fatal(err)
			}
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(s); string(got) != tt.first+tt.then || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, tt.first+tt.then)
			}
		})
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !strings.Contains(err.Error(), net.ErrClosed.Error()) {
		t.Errorf("Accept ends with %v", err)
	}
}

// A peer that has gone before it was accepted costs nothing but its own connection.
func TestEarlyOutlivesResets(t *testing.T) {
	ln := takingX(t)
	for range 20 {
		c := dialTCP(t, ln.Addr().String())
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	last := dialTCP(t, ln.Addr().String())
	if _, err := io.WriteString(last, "y"); err != nil {
		t.Fatal(err)
	}
	for {
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		from := c.RemoteAddr().String()
		_ = c.Close()
		if from == last.LocalAddr().String() {
			return
		}
	}
}

// A peer that resets while it is looked at has no name any more. Accept does not return it:
// whoever is given a connection asks for its name.
func TestEarlyReturnsNobodyWithoutAName(t *testing.T) {
	first, second := make(chan *net.TCPConn, 1), make(chan *net.TCPConn, 1)
	ln, err := listen(t, ListenConfig{}).Early(Config{}, func(fd int, _, _ netip.AddrPort, said []byte) bool {
		if string(said) == "first" {
			c := <-first
			_ = c.SetLinger(0)
			_ = c.Close()
			waiting.For(t, "the reset", func() bool { _, err := unix.Getpeername(fd); return err != nil })
		}
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	for _, who := range []struct {
		says string
		conn chan *net.TCPConn
	}{{"first", first}, {"second", second}} {
		c := dialTCP(t, ln.Addr().String())
		who.conn <- c
		if _, err := io.WriteString(c, who.says); err != nil {
			t.Fatal(err)
		}
	}
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, want := c.RemoteAddr().String(), (<-second).LocalAddr().String(); got != want {
		t.Errorf("from %s, want %s", got, want)
	}
}
