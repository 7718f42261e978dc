package eventloop

import (
	"bytes"
	"encoding/binary"
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
		if last != pings-1 {
			t.Errorf("the last of %d pings is not answered; %d are", pings, pongs)
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

// Without any event, a turn comes when the last one asked for it. (It may come earlier: a
// signal is enough.)
func TestTurnIsCalledWhenDue(t *testing.T) {
	var turns, last int64
	done := make(chan int64, 1)
	startLoop(t, &probe{turn: func(now int64) int64 {
		if now <= last {
			t.Errorf("turn at %d after one at %d", now, last)
		}
		last = now
		if turns++; turns < 50 {
			return now + int64(300*time.Microsecond)
		}
		if turns == 50 {
			done <- turns
		}
		return 0
	}}, Config{})
	receive(t, done)
}

func TestDetach(t *testing.T) {
	client, server := tcpPair(t)
	defer client.Close()
	before := descriptors(t)
	a, err := Detach(server)
	if err != nil {
		t.Fatal(err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	if _, err := unix.Read(a.Fd, make([]byte, 1)); err != unix.EAGAIN {
		t.Errorf("an empty socket gives %v, want EAGAIN", err)
	}
	if _, err := Detach(server); err == nil {
		t.Error("detached twice")
	}
	_ = unix.Close(a.Fd)
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

// Reading a message and writing a frame costs no garbage.
func TestNoGarbage(t *testing.T) {
	frame := append(AppendFrameHeader(nil, OpBinary, 100, false), make([]byte, 100)...)
	got := 0
	l, err := New(&probe{message: func(c *Conn, _ bool, _ []byte) {
		got++
		c.Write(frame)
	}}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.end()
	client, server := tcpPair(t)
	defer client.Close()
	a, err := Detach(server)
	if err != nil {
		t.Fatal(err)
	}
	a.Deflate = true
	l.open(&a)
	request, answer := clientFrames(clientFrame(0xc1, deflated("hello")), clientFrame(0x89, "ping")), make([]byte, 1000)
	turn := func() {
		if _, err := client.Write(request); err != nil {
			t.Fatal(err)
		}
		events, err := l.poller.wait(Now() + int64(patience))
		for err == nil && len(events) == 0 { // a signal
			events, err = l.poller.wait(Now() + int64(patience))
		}
		if err != nil || len(events) != 1 {
			t.Fatalf("%d events, %v", len(events), err)
		}
		l.take(events)
		if _, err := client.Read(answer); err != nil {
			t.Fatal(err)
		}
	}
	turn() // the inflater and the buffers of the loop itself
	if n := testing.AllocsPerRun(100, turn); n > 0 {
		t.Errorf("%v allocations a turn", n)
	}
	if got != 102 {
		t.Errorf("%d messages, sent 102", got)
	}
	l.slots[0].c.lost(io.EOF)
	l.tellEnded()
}

// What a handler is told behind a turn belongs to it, and the next one begins later: who reads
// another clock once a turn never goes by the time of a turn before.
func TestATurnsBeginning(t *testing.T) {
	var (
		l      *Loop
		open   *Conn
		ended  int64 // the turn that closed it
		told   = make(chan int64, 1)
		behind = make(chan [2]int64, 1) // when the next turn began
	)
	h := &probe{
		open:   func(c *Conn) { open = c },
		closed: func(*Conn, int, error) { told <- l.Began() },
		turn: func(now int64) int64 {
			switch {
			case open != nil:
				open.Close(1000, "")
				open, ended = nil, now
			case ended != 0:
				select {
				case behind <- [2]int64{now, l.Began()}:
				default:
				}
			}
			return now + int64(10*time.Millisecond)
		},
	}
	l = startLoop(t, h, Config{})
	p := adopt(t, l, 0, Adopted{})
	next := receive(t, behind)
	p.send(clientFrame(0x88, "\x03\xe8"))
	if began := receive(t, told); began < ended {
		t.Errorf("a session's end was told of the turn at %d, which ended it at %d", began, ended)
	}
	if next[0] != next[1] || next[0] <= ended {
		t.Errorf("behind the turn at %d comes one at %d, which says %d", ended, next[0], next[1])
	}
}
