package eventloop

import (
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// What the loop counts is what the peer's kernel got: of what went out at once, of what had to
// wait, of pongs and of the end.
func TestWrittenIsWhatThePeerGot(t *testing.T) {
	transports(t, func(t *testing.T, version uint16) {
		var written atomic.Int64
		ended := make(chan int, 1)
		l := startLoop(t, &probe{
			message: func(c *Conn, text bool, payload []byte) {
				echo(c, text, payload)
				written.Store(c.loop.Written())
			},
			drained: func(c *Conn) { written.Store(c.loop.Written()) },
			closed:  func(_ *Conn, code int, _ error) { ended <- code },
		}, Config{SendBuffer: 4 << 10})
		p := adopt(t, l, version, Adopted{})
		before := p.received() // of the TLS handshake
		big := strings.Repeat("0123456789", 6_000)
		for range 20 {
			p.send(clientFrame(0x89, "ping"), clientFrame(0x82, big))
			p.wants(0x8a, "ping")
			p.wants(0x82, big)
		}
		until(t, "the count, which comes behind the bytes", func() bool { return written.Load() == p.received()-before })
		p.send(clientFrame(0x88, "\x03\xe8"))
		p.wants(0x88, "\x03\xe8")
		p.wantsEnd()
		receive(t, ended)
	})
}

// received asks the kernel how many bytes have come.
func (p *peer) received() (n int64) {
	p.t.Helper()
	raw, err := p.tcp.SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			p.t.Error(err)
			return
		}
		n = int64(info.Bytes_received)
	}); err != nil {
		p.t.Fatal(err)
	}
	return n
}
