package eventloop

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestEcho(t *testing.T) {
	transports(t, func(t *testing.T, version uint16) {
		l := startLoop(t, &probe{message: echo}, Config{ReadBudget: 4 << 10})
		p := adopt(t, l, version, Adopted{Deflate: true})
		big := strings.Repeat("0123456789", 6_000)
		go p.send(
			clientFrame(0x81, "hello"),
			clientFrames(clientFrame(0x02, "ab"), clientFrame(0x80, "cd")),
			clientFrame(0x82, big),
			clientFrame(0x81, ""),
			clientFrame(0xc1, deflated(big)),
			clientFrame(0x88, "\x03\xe8bye"),
		)
		p.wants(0x81, "hello")
		p.wants(0x82, "abcd")
		p.wants(0x82, big)
		p.wants(0x81, "")
		p.wants(0x81, big)
		p.wants(0x88, "\x03\xe8")
		p.wantsEnd()
	})
}

func TestOneByteAtATime(t *testing.T) {
	transports(t, func(t *testing.T, version uint16) {
		l := startLoop(t, &probe{message: echo}, Config{})
		p := adopt(t, l, version, Adopted{})
		_ = p.tcp.SetNoDelay(true)
		for _, b := range clientFrames(clientFrame(0x01, "h\xc3"), clientFrame(0x89, "ping"), clientFrame(0x80, "\xa9")) {
			p.send([]byte{b})
		}
		p.wants(0x8a, "ping")
		p.wants(0x81, "hé")
	})
}

// What came with the handshake is read before anything else, though epoll never tells of it.
func TestRestIsReadFirst(t *testing.T) {
	transports(t, func(t *testing.T, version uint16) {
		l := startLoop(t, &probe{message: echo, open: func(c *Conn) { c.Write([]byte("\x81\x02hi")) }}, Config{})
		p := adopt(t, l, version, Adopted{Rest: clientFrames(clientFrame(0x81, "one"), clientFrame(0x81, "two")[:4])})
		p.wants(0x81, "hi")
		p.wants(0x81, "one")
		p.send(clientFrame(0x81, "two")[4:])
		p.wants(0x81, "two")
	})
}

// A peer that reads slowly gets every frame whole and in order, and answers to its pings
// between frames; Drained follows.
func TestPartialWrites(t *testing.T) {
	transports(t, func(t *testing.T, version uint16) {
		const frames = 20
		big := bytes.Repeat([]byte("0123456789abcdef"), 8<<10)
		frame := append(AppendFrameHeader(nil, OpBinary, len(big), false), big...)
		left, started, drained := frames, make(chan int, 1), make(chan int, 1)
		write := func(c *Conn) {
			for left > 0 {
				left--
				if waiting := c.Write(frame); waiting > 0 {
					if waiting != c.Waiting() {
						t.Errorf("Write says %d, Waiting says %d", waiting, c.Waiting())
					}
					return
				}
			}
			drained <- c.Waiting()
		}
		h := &probe{drained: write, message: func(c *Conn, _ bool, _ []byte) {
			write(c)
			started <- c.Waiting()
		}}
		l := startLoop(t, h, Config{SendBuffer: 64 << 10})
		p := adopt(t, l, version, Adopted{})
		p.send(clientFrame(0x81, "go"))
		if waiting := receive(t, started); waiting == 0 {
			t.Fatal("nothing waits: the test tests nothing")
		}
		p.send(clientFrame(0x89, "are you there"))
		for got, pongs := 0, 0; got < frames || pongs < 1; {
			b0, payload, err := p.frame()
			switch {
			case err != nil:
				t.Fatal(err)
			case b0 == 0x8a && string(payload) == "are you there":
				pongs++
			case b0 == 0x82 && bytes.Equal(payload, big):
				got++
			default:
				t.Fatalf("got frame %#x of %d bytes", b0, len(payload))
			}
		}
		if waiting := receive(t, drained); waiting != 0 {
			t.Errorf("drained with %d bytes waiting", waiting)
		}
	})
}

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

// Close lets a peer read what waits, and gives up on one that does not.
func TestCloseBehindABacklog(t *testing.T) {
	transports(t, func(t *testing.T, version uint16) {
		for _, reads := range []bool{true, false} {
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

// Ten thousand pings in one piece get answers, in order and the last for certain, but no more
// than is good for both; and the connection lives on.
func TestPingFlood(t *testing.T) {
	transports(t, func(t *testing.T, version uint16) {
		l := startLoop(t, &probe{message: echo}, Config{})
		p := adopt(t, l, version, Adopted{})
		const pings = 10_000
		var flood []byte
		for i := range uint32(pings) {
			flood = append(flood, clientFrame(0x89, string(binary.BigEndian.AppendUint32(nil, i)))...)
		}
		go p.send(flood, clientFrame(0x81, "alive"))
		pongs, last := 0, -1
		for {
			b0, payload, err := p.frame()
			if err != nil {
				t.Fatal(err)
			}
			if b0 == 0x81 {
				break
			}
			if n := int(binary.BigEndian.Uint32(payload)); n <= last {
				t.Fatalf("pong %d after %d", n, last)
			} else {
				pongs, last = pongs+1, n
			}
		}
		// The message may overtake the answers to the share that it came in.
		for last < pings-1 {
			_, payload, err := p.frame()
			if err != nil {
				t.Fatal(err)
			}
			pongs, last = pongs+1, int(binary.BigEndian.Uint32(payload))
		}
		t.Logf("%d pongs", pongs)
	})
}

// While a peer takes nothing, its pings cost no memory: only the last is answered.
func TestPingsBehindABacklog(t *testing.T) {
	big := make([]byte, 4<<20)
	frame := append(AppendFrameHeader(nil, OpBinary, len(big), false), big...)
	seen := make(chan int, 1)
	l := startLoop(t, &probe{
		open: func(c *Conn) { c.Write(frame) },
		message: func(c *Conn, _ bool, _ []byte) {
			seen <- c.Waiting()
		},
	}, Config{SendBuffer: 64 << 10})
	p := adopt(t, l, 0, Adopted{})
	p.send(clientFrame(0x81, ""))
	before := receive(t, seen)
	for i := range 5_000 {
		p.send(clientFrame(0x89, fmt.Sprint(i)))
	}
	p.send(clientFrame(0x81, ""))
	if after := receive(t, seen); after > before {
		t.Errorf("%d bytes wait, %d before the pings", after, before)
	}
	p.wants(0x82, string(big))
	p.wants(0x8a, "4999")
}

// However much one peer sends, a turn takes no more than its share of it.
func TestShareOfATurn(t *testing.T) {
	const budget = 1 << 10
	var share, largest, total int
	done := make(chan int, 1)
	const messages = 2_000
	l := startLoop(t, &probe{
		message: func(c *Conn, _ bool, payload []byte) {
			share += len(payload)
			if total++; total == messages {
				done <- max(largest, share)
			}
		},
		turn: func(int64) int64 {
			largest, share = max(largest, share), 0
			return 0
		},
	}, Config{ReadBudget: budget})
	p := adopt(t, l, 0, Adopted{})
	go p.send(bytes.Repeat(clientFrame(0x82, strings.Repeat("x", 100)), messages))
	if got := receive(t, done); got > budget {
		t.Errorf("%d bytes in a turn, want at most %d", got, budget)
	}
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
		fd, err := Detach(server)
		if err != nil {
			t.Fatal(err)
		}
		l.open(&Adopted{Fd: fd, Data: name})
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
		for range 4 {
			wg.Go(func() {
				for range 5 {
					client, server := tcpPair(t)
					defer client.Close()
					fd, err := Detach(server)
					if err != nil {
						t.Error(err)
						return
					}
					if l.Adopt(Adopted{Fd: fd}) {
						adopted.Add(1)
					}
					l.Wake()
				}
			})
		}
		l.Stop()
		wg.Wait()
		if err := receive(t, ran); err != nil {
			t.Error(err)
		}
		l.Wake() // does no harm
		if opened.Load() != adopted.Load() || closed.Load() != adopted.Load() {
			t.Errorf("%d adopted, %d opened, %d closed", adopted.Load(), opened.Load(), closed.Load())
		}
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// What is put down before Wake is seen by a turn, without any other event.
func TestNoWakeIsLost(t *testing.T) {
	var put, seen atomic.Int64
	l := startLoop(t, &probe{turn: func(int64) int64 {
		seen.Store(put.Load())
		return 0
	}}, Config{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 2_000 {
				mine := put.Add(1)
				l.Wake()
				if mine%50 == 0 {
					until(t, "the turn after Wake", func() bool { return seen.Load() >= mine })
				}
			}
		})
	}
	wg.Wait()
	until(t, "the turn after the last Wake", func() bool { return seen.Load() == put.Load() })
}

func TestTurnIsCalledWhenDueAndNotBefore(t *testing.T) {
	var turns, last, due int64
	done := make(chan int64, 1)
	startLoop(t, &probe{turn: func(now int64) int64 {
		if turns++; turns == 50 {
			done <- turns
		}
		if turns >= 50 {
			return 0
		}
		if now < due || now <= last {
			t.Errorf("turn at %d after one at %d, due at %d", now, last, due)
		}
		last, due = now, now+int64(300*time.Microsecond)
		return due
	}}, Config{})
	receive(t, done)
}

func TestDetach(t *testing.T) {
	client, server := tcpPair(t)
	defer client.Close()
	before := descriptors(t)
	fd, err := Detach(server)
	if err != nil {
		t.Fatal(err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	if _, err := unix.Read(fd, make([]byte, 1)); err != unix.EAGAIN {
		t.Errorf("an empty socket gives %v, want EAGAIN", err)
	}
	if _, err := Detach(server); err == nil {
		t.Error("detached twice")
	}
	_ = unix.Close(fd)
	if _, err := Detach(&net.UnixConn{}); err == nil {
		t.Error("detached a Unix socket")
	}
}

func TestInfo(t *testing.T) {
	infos := make(chan TCPInfo, 2)
	var conn *Conn
	l := startLoop(t, &probe{
		open: func(c *Conn) {
			conn = c
			c.Write(append(AppendFrameHeader(nil, OpBinary, 8<<20, false), make([]byte, 8<<20)...))
		},
		turn: func(now int64) int64 {
			if conn == nil {
				return 0
			}
			if info := conn.Info(); info.Queued > 0 && len(infos) == 0 {
				infos <- info
			}
			return now + int64(time.Millisecond)
		},
		closed: func(*Conn, int, error) { conn = nil },
	}, Config{SendBuffer: 64 << 10, NotSentLowat: 16 << 10})
	adopt(t, l, 0, Adopted{})
	if info := receive(t, infos); info.NotSent > info.Queued || info.RTT <= 0 {
		t.Errorf("of a peer that does not read: %+v", info)
	}
}

func TestConfigReportsEveryProblem(t *testing.T) {
	_, err := New(&probe{}, Config{MaxMessageBytes: -1, Linger: -1})
	for _, want := range []string{"MaxMessageBytes", "Linger"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestConnIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 64 {
		t.Errorf("a Conn has %d bytes, want at most 64: the next size that Go allocates is 80", n)
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
				p := adopt(t, l, 0, Adopted{})
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
