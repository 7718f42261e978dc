package eventloop

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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
		from := c.RemoteAddr()
		_ = c.Close()
		if from != nil && from.String() == last.LocalAddr().String() {
			return
		}
	}
}
