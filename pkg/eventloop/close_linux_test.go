package eventloop

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestEndings(t *testing.T) {
	for _, tt := range []struct {
		name   string
		does   func(p *peer)
		answer string // the close frame's payload; "" for an empty one, "-" for none
		want   end
	}{
		{"a close is answered with its code", func(p *peer) { p.send(clientFrame(0x88, "\x03\xe9gone")) }, "\x03\xe9", end{1001, nil}},
		{"a close without a code likewise", func(p *peer) { p.send(clientFrame(0x88, "")) }, "", end{1005, nil}},
		{"only the first close is answered", func(p *peer) {
			p.send(clientFrames(clientFrame(0x88, "\x03\xe8"), clientFrame(0x88, "\x03\xe9"), clientFrame(0x89, "x")))
		}, "\x03\xe8", end{1000, nil}},
		{"a close and the end at once", func(p *peer) {
			p.send(clientFrame(0x88, "\x0b\xb8"))
			_ = p.tcp.CloseWrite()
		}, "\x0b\xb8", end{3000, nil}},
		{"a bad close", func(p *peer) { p.send(clientFrame(0x88, "x")) }, "\x03\xeabad close frame", end{1002, errCloseFrame}},
		{"a fault", func(p *peer) { p.send([]byte("\x81\x01a and much behind it")) }, "\x03\xeaframe not masked", end{1002, errUnmasked}},
		{"too big", func(p *peer) { p.send([]byte("\x82\xff\x00\x00\x00\x00\x10\x00\x00\x00abcd")) }, "\x03\xf1message too big", end{1009, errTooBig}},
		{"half a frame and the end", func(p *peer) {
			p.send(clientFrame(0x81, "hello")[:7])
			_ = p.tcp.CloseWrite()
		}, "-", end{1006, io.EOF}},
		{"half-close", func(p *peer) { _ = p.tcp.CloseWrite() }, "-", end{1006, io.EOF}},
		{"reset", func(p *peer) {
			_ = p.tcp.SetLinger(0)
			_ = p.tcp.Close()
		}, "-", end{1006, unix.ECONNRESET}},
		{"Close by the handler", func(p *peer) { p.send(clientFrame(0x81, "close 4408 slow")) }, "\x11\x38slow", end{4408, nil}},
		{"Close while the peer closes", func(p *peer) {
			p.send(clientFrames(clientFrame(0x81, "close 4408 slow"), clientFrame(0x88, "\x03\xe8")))
		}, "\x11\x38slow", end{4408, nil}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			transports(t, func(t *testing.T, version uint16) {
				ends := make(chan end, 10)
				before := descriptors(t)
				l := startLoop(t, &probe{
					message: func(c *Conn, _ bool, payload []byte) {
						var code int
						var reason string
						_, _ = fmt.Sscanf(string(payload), "close %d %s", &code, &reason)
						c.Close(code, reason)
						if waiting := c.Write([]byte("\x81\x01x")); waiting != 0 {
							t.Errorf("%d bytes wait after Close", waiting)
						}
					},
					closed: func(c *Conn, code int, err error) { ends <- end{code, err} },
				}, Config{Linger: patience})
				p := adopt(t, l, version, Adopted{})
				tt.does(p)
				got := receive(t, ends)
				if got.code != tt.want.code || !errors.Is(got.err, tt.want.err) {
					t.Errorf("Closed with %v, want %v", got, tt.want)
				}
				if tt.answer != "-" {
					p.wants(0x88, tt.answer)
					p.wantsEnd()
				}
				_ = p.Close()
				_ = p.tcp.Close()
				// The loop's own two descriptors are left, however long the linger.
				until(t, "descriptors are back", func() bool { return descriptors(t) <= before+2 })
				if len(ends) > 0 {
					t.Error("Closed twice")
				}
			})
		})
	}
}

// Who leaves, or is told to, still gets what it asked for before.
func TestEndingHasTheLastWord(t *testing.T) {
	for name, last := range map[string][]byte{
		"close": clientFrame(0x88, "\x03\xe8"), "fault": clientFrame(0x83, ""),
	} {
		t.Run(name, func(t *testing.T) {
			var asked []byte
			l := startLoop(t, &probe{
				message: func(_ *Conn, _ bool, payload []byte) { asked = append(asked, payload...) },
				ending:  func(c *Conn) { echo(c, true, asked) },
			}, Config{})
			p := adopt(t, l, 0, Adopted{})
			p.send(clientFrames(clientFrame(0x81, "a"), clientFrame(0x89, "p"), last, clientFrame(0x81, "b")))
			p.wants(0x8a, "p")
			p.wants(0x81, "a")
			if b0, _, err := p.frame(); b0 != 0x88 || err != nil {
				t.Errorf("got frame %#x, %v", b0, err)
			}
			p.wantsEnd()
		})
	}
}

// Close lets a peer read what waits, and gives up on one that does not.
func TestCloseBehindABacklog(t *testing.T) {
	transports(t, func(t *testing.T, version uint16) {
		for _, way := range []string{"reads", "closes its side and reads", "does not read"} {
			reads := way != "does not read"
			big := bytes.Repeat([]byte("x"), 4<<20)
			frame := append(AppendFrameHeader(nil, OpBinary, len(big), false), big...)
			ends := make(chan end, 1)
			linger := 20 * time.Millisecond
			if reads {
				linger = patience
			}
			before := descriptors(t)
			l := startLoop(t, &probe{
				open: func(c *Conn) {
					if c.Write(frame) == 0 {
						t.Error("nothing waits: the test tests nothing")
					}
					c.Close(4408, "slow")
				},
				closed: func(c *Conn, code int, err error) { ends <- end{code, err} },
			}, Config{SendBuffer: 64 << 10, Linger: linger})
			p := adopt(t, l, version, Adopted{})
			if got := receive(t, ends); got != (end{4408, nil}) {
				t.Errorf("Closed with %v", got)
			}
			if way == "closes its side and reads" {
				p.send(clientFrame(0x88, "\x03\xe8"))
				_ = p.tcp.CloseWrite()
			}
			if reads {
				p.wants(0x82, string(big))
				p.wants(0x88, "\x11\x38slow")
				p.wantsEnd()
				_ = p.tcp.Close()
			}
			until(t, "descriptors are back", func() bool { return descriptors(t) <= before+3 })
			if !reads {
				if _, err := io.Copy(io.Discard, p.tcp); !errors.Is(err, unix.ECONNRESET) {
					t.Errorf("a peer that does not read sees %v, want a reset", err)
				}
			}
		}
	})
}

// An event of a turn in which its connection's place went to another is not for the other.
func TestStaleEvent(t *testing.T) {
	var messages []string
	l, err := New(&probe{message: func(c *Conn, _ bool, p []byte) {
		messages = append(messages, fmt.Sprint(c.Data, " ", string(p)))
	}}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.end()
	take := func(name string) (*net.TCPConn, slot, int32) {
		client, server := tcpPair(t)
		a, err := Detach(server)
		if err != nil {
			t.Fatal(err)
		}
		a.Data = name
		l.open(&a)
		for i, s := range l.slots {
			if s.c != nil && s.c.Data == name {
				return client, s, int32(i)
			}
		}
		panic("not opened")
	}
	first, old, at := take("first")
	defer first.Close()
	old.c.lost(io.EOF)
	l.tellEnded()
	second, now, again := take("second")
	defer second.Close()
	if at != again || now.c.fd != old.c.fd {
		t.Fatalf("slot %d and descriptor %d, were %d and %d: the test tests nothing", again, now.c.fd, at, old.c.fd)
	}
	if _, err := second.Write(clientFrame(0x81, "hello")); err != nil {
		t.Fatal(err)
	}
	l.serve(&unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLHUP, Fd: at, Pad: old.gen})
	if len(messages) > 0 || now.c.state != stateOpen {
		t.Errorf("a stale event reached the new connection: %q", messages)
	}
	now.c.lost(io.EOF)
	l.tellEnded()
}

// Handlers may end any connection from any callback; each is told of once.
func TestEndingOthers(t *testing.T) {
	const n = 50
	var open []*Conn
	told := map[*Conn]int{}
	all := make(chan map[*Conn]int, 1)
	l := startLoop(t, &probe{
		open: func(c *Conn) { open = append(open, c) },
		message: func(*Conn, bool, []byte) {
			for _, c := range open[:n/2] {
				c.Close(1000, "")
			}
		},
		closed: func(c *Conn, _ int, _ error) {
			for _, c := range open[n/2:] {
				c.Close(1000, "")
				c.Write([]byte("\x81\x01x"))
			}
			if told[c]++; len(told) == n {
				all <- told
			}
		},
	}, Config{})
	var peers []*peer
	for range n {
		peers = append(peers, adopt(t, l, 0, Adopted{}))
	}
	peers[n-1].send(clientFrame(0x81, "go"))
	for _, p := range peers {
		p.wants(0x88, "\x03\xe8")
		p.wantsEnd()
	}
	for _, times := range receive(t, all) {
		if times != 1 {
			t.Errorf("told %d times", times)
		}
	}
}

func TestStopRacesWithAdopt(t *testing.T) {
	before := descriptors(t)
	for range 20 {
		var opened, closed atomic.Int64
		l, err := New(&probe{
			open: func(*Conn) { opened.Add(1) },
			closed: func(_ *Conn, code int, err error) {
				closed.Add(1)
				if code != 1001 || err != ErrStopped {
					t.Errorf("Closed with %d (%v)", code, err)
				}
			},
		}, Config{Linger: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() { ran <- l.Run() }()
		var adopted atomic.Int64
		var wg sync.WaitGroup
		clients := make(chan *net.TCPConn, 20)
		for range 4 {
			wg.Go(func() {
				for range cap(clients) / 4 {
					client, server := tcpPair(t)
					clients <- client
					a, err := Detach(server)
					if err != nil {
						t.Error(err)
						return
					}
					if l.Adopt(a) {
						adopted.Add(1)
					}
					l.Wake()
				}
			})
		}
		l.Stop(patience)
		wg.Wait()
		if err := receive(t, ran); err != nil {
			t.Error(err)
		}
		l.Wake() // does no harm
		for range len(clients) {
			_ = (<-clients).Close()
		}
		if opened.Load() != adopted.Load() || closed.Load() != adopted.Load() {
			t.Errorf("%d adopted, %d opened, %d closed", adopted.Load(), opened.Load(), closed.Load())
		}
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// Thousands come and go in every way; nothing is left of them.
func TestComeAndGo(t *testing.T) {
	const conns, atOnce = 2_000, 50
	before := descriptors(t)
	var opened, closed atomic.Int64
	l := startLoop(t, &probe{
		open:    func(*Conn) { opened.Add(1) },
		message: echo,
		closed:  func(*Conn, int, error) { closed.Add(1) },
	}, Config{})
	var wg sync.WaitGroup
	for worker := range atOnce {
		wg.Go(func() {
			for i := range conns / atOnce {
				version := uint16(0)
				if i%10 == 9 {
					version = tls.VersionTLS13
				}
				p := adopt(t, l, version, Adopted{})
				p.send(clientFrame(0x81, "hello"))
				p.wants(0x81, "hello")
				switch (worker + i) % 4 {
				case 0:
					p.send(clientFrame(0x88, "\x03\xe8"))
					p.wants(0x88, "\x03\xe8")
					p.wantsEnd()
				case 1:
					p.send(clientFrame(0x81, "half")[:5])
				case 2:
					_ = p.tcp.SetLinger(0)
				case 3:
					p.send([]byte{0xff})
				}
				_ = p.Close()
			}
		})
	}
	wg.Wait()
	until(t, "all are closed", func() bool { return closed.Load() == conns && opened.Load() == conns })
	until(t, "descriptors are back", func() bool { return descriptors(t) <= before+2 })
}

// A connection that breaks under a Write is told of once, and takes no more.
func TestWriteToABrokenConnection(t *testing.T) {
	var ends []end
	l, err := New(&probe{closed: func(_ *Conn, code int, err error) { ends = append(ends, end{code, err}) }}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.end()
	client, server := tcpPair(t)
	a, err := Detach(server)
	if err != nil {
		t.Fatal(err)
	}
	l.open(&a)
	c := l.slots[0].c
	_ = client.SetLinger(0)
	_ = client.Close()
	for range 2 {
		if waiting := c.Write([]byte("\x81\x01x")); waiting != 0 {
			t.Errorf("%d bytes wait", waiting)
		}
	}
	c.Close(1000, "")
	l.tellEnded()
	if len(ends) != 1 || ends[0].code != codeAbnormal || !errors.Is(ends[0].err, unix.ECONNRESET) && !errors.Is(ends[0].err, unix.EPIPE) {
		t.Errorf("Closed with %v", ends)
	}
	if l.live != 0 {
		t.Errorf("%d descriptors left", l.live)
	}
}

// When epoll itself fails, Run says so and nothing is left.
func TestEpollFails(t *testing.T) {
	before := descriptors(t)
	var ends []end
	l, err := New(&probe{closed: func(_ *Conn, code int, err error) { ends = append(ends, end{code, err}) }}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	client, server := tcpPair(t)
	a, err := Detach(server)
	if err != nil {
		t.Fatal(err)
	}
	l.open(&a)
	if err := unix.Dup3(l.poller.timer, l.poller.epoll, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := l.Run(); !errors.Is(err, unix.EINVAL) {
		t.Errorf("Run: %v", err)
	}
	if len(ends) != 1 || !errors.Is(ends[0].err, unix.EINVAL) {
		t.Errorf("Closed with %v", ends)
	}
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
	_ = client.Close()
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
