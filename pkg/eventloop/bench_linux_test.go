package eventloop

import (
	"crypto/tls"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openPairs opens n connections in a loop that nobody runs, and returns the descriptors of
// their peers, and what ends it all. version is of TLS, 0 for none.
func openPairs(b *testing.B, l *Loop, n int, version uint16) (conns []*Conn, peers []int, end func()) {
	b.Helper()
	for range n {
		client, server := tcpPair(b)
		var a Adopted
		var err error
		if version == 0 {
			a, err = Detach(server)
		} else {
			over := tls.Client(client, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
			shaken := make(chan error, 1)
			go func() { shaken <- over.Handshake() }()
			conn := secured(server)
			if err = conn.Handshake(); err == nil {
				err = receive(b, shaken)
			}
			if err == nil {
				a, err = Detach(conn)
			}
		}
		if err != nil {
			b.Fatal(err)
		}
		peer, err := Detach(client)
		if err != nil {
			b.Fatal(err)
		}
		l.open(&a)
		peers = append(peers, peer.Fd)
	}
	for _, s := range l.slots {
		conns = append(conns, s.c)
	}
	return conns, peers, func() {
		for i := range conns {
			conns[i].lost(unix.ECANCELED)
			_ = unix.Close(peers[i])
		}
		l.tellEnded()
		l.end()
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// BenchmarkIdle reports what an idle connection keeps of the heap, all of it: before anything
// was said, and after a message and an answer.
func BenchmarkIdle(b *testing.B) {
	for _, bm := range []struct {
		name    string
		version uint16
	}{{"plain", 0}, {"TLS1.2", tls.VersionTLS12}, {"TLS1.3", tls.VersionTLS13}} {
		b.Run(bm.name, func(b *testing.B) {
			const n = 500
			for b.Loop() {
				l, err := New(&probe{}, Config{})
				if err != nil {
					b.Fatal(err)
				}
				testTLS()
				before := heap()
				conns, _, end := openPairs(b, l, n, bm.version)
				frame := append(AppendFrameHeader(nil, OpBinary, 1000, false), make([]byte, 1000)...)
				for _, c := range conns {
					c.Write(frame)
				}
				b.ReportMetric(float64(heap()-before)/n, "B/conn")
				end()
			}
		})
	}
}

// cpuTime is what this thread has used, so that a busy machine does not count.
func cpuTime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano())
}

// BenchmarkWrite sends one frame to each of a thousand sockets by write(2) alone, by
// Conn.Write, and by Conn.Write over TLS, in turns. Only the CPU of writing is counted, not
// that of the reading that empties the sockets.
func BenchmarkWrite(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	frame := append(AppendFrameHeader(nil, OpBinary, 640, false), make([]byte, 640)...)
	ways := []struct {
		name    string
		version uint16
		write   func(c *Conn)
		conns   []*Conn
		peers   []int
		spent   time.Duration
	}{
		{name: "bare", write: func(c *Conn) { _, _ = unix.Write(int(c.fd), frame) }},
		{name: "conn", write: func(c *Conn) { c.Write(frame) }},
		{name: "TLS1.3", version: tls.VersionTLS13, write: func(c *Conn) { c.Write(frame) }},
	}
	const conns = 1000
	for i := range ways {
		l, err := New(&probe{}, Config{})
		if err != nil {
			b.Fatal(err)
		}
		var end func()
		ways[i].conns, ways[i].peers, end = openPairs(b, l, conns, ways[i].version)
		defer end()
	}
	buf := make([]byte, 64<<10)
	frames := 0
	for b.Loop() {
		frames += conns
		for i := range ways {
			way := &ways[i]
			start := cpuTime()
			for _, c := range way.conns {
				way.write(c)
			}
			way.spent += cpuTime() - start
			for _, fd := range way.peers {
				_, _ = unix.Read(fd, buf)
			}
		}
	}
	for i := range ways {
		b.ReportMetric(float64(ways[i].spent)/float64(frames), ways[i].name+"-ns/frame")
	}
	b.ReportMetric(float64(frames)/ways[1].spent.Seconds(), "frames/s")
	b.ReportMetric(float64(ways[1].spent)/float64(ways[0].spent), "conn/bare")
}

// BenchmarkRead takes one small message from each of a hundred connections by epoll_wait(2)
// and read(2) alone, and as a turn does, in turns.
func BenchmarkRead(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	frame := clientFrame(0x81, strings.Repeat("x", 60))
	got := 0
	l, err := New(&probe{message: func(*Conn, bool, []byte) { got++ }}, Config{})
	if err != nil {
		b.Fatal(err)
	}
	conns, peers, end := openPairs(b, l, 100, 0)
	defer end()
	round := func(serve func(events []unix.EpollEvent)) time.Duration {
		for _, fd := range peers {
			_, _ = unix.Write(fd, frame)
		}
		start := cpuTime()
		for left := len(conns); left > 0; {
			events, err := l.poller.now()
			if err != nil {
				b.Fatal(err)
			}
			left -= len(events)
			serve(events)
		}
		return cpuTime() - start
	}
	var bare, turn time.Duration
	for b.Loop() {
		bare += round(func(events []unix.EpollEvent) {
			for i := range events {
				_, _ = unix.Read(int(l.slots[events[i].Fd].c.fd), l.read)
			}
		})
		turn += round(func(events []unix.EpollEvent) {
			for l.take(events); !l.asking.empty(); l.take(nil) {
			}
		})
	}
	messages := b.N * len(conns)
	if got != messages {
		b.Fatalf("%d messages of %d", got, messages)
	}
	b.ReportMetric(float64(bare)/float64(messages), "bare-ns/message")
	b.ReportMetric(float64(turn)/float64(messages), "turn-ns/message")
}

// BenchmarkWake is a turn of a sleeping loop: Wake, the switch to it, Turn, and back.
func BenchmarkWake(b *testing.B) {
	turned := make(chan struct{}, 1)
	l := startLoop(b, &probe{turn: func(int64) int64 {
		select {
		case turned <- struct{}{}:
		default:
		}
		return 0
	}}, Config{})
	<-turned
	for b.Loop() {
		l.Wake()
		<-turned
	}
}
