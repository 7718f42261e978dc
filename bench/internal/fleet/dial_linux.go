package fleet

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tickcast/tickcast/bench/internal/wire"
	"github.com/tickcast/tickcast/pkg/eventloop"
)

const (
	dialTimeout = 30 * time.Second
	// perSource is how many connections share a source address on loopback: a pair of
	// addresses has some 28,000 ports, and a server that counts addresses sees many.
	perSource = 1000
)

// dial opens one member in the background, when there is a place, and then calls done.
func (f *Fleet) dial(number int, done func()) {
	f.connecting <- struct{}{}
	f.dialing.Go(func() {
		defer func() { <-f.connecting }()
		defer done()
		c, err := f.connect(number)
		f.do(func() {
			if err != nil {
				f.seen.Failed++
				f.seen.LastError = err.Error()
				f.again(number)
				return
			}
			f.adopt(c)
		})
	})
}

// connect returns a connection that has been upgraded and has asked for its streams.
func (f *Fleet) connect(number int) (c *conn, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	start := time.Now()
	dialer := net.Dialer{LocalAddr: source(f.cfg.URL.Hostname(), f.cfg.First+number)}
	tcp, err := dialer.DialContext(ctx, "tcp", f.cfg.URL.Host)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = tcp.Close()
		}
	}()
	_ = tcp.SetDeadline(start.Add(dialTimeout))
	c = &conn{number: number, pace: f.cfg.Members[number].Pace, begun: start}
	way := tcp
	if f.cfg.TLS != nil {
		c.pipe = &pipe{Conn: tcp}
		c.tls = tls.Client(c.pipe, f.cfg.TLS)
		if err = c.tls.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		way = c.tls
	}
	offer := wire.Offer{Subprotocol: f.cfg.Dialect.Subprotocol(number), Deflate: f.cfg.Deflate, Header: f.cfg.Header}
	answer := &counted{Conn: way}
	if _, c.part, err = wire.Open(answer, f.cfg.URL, offer); err != nil {
		return nil, err
	}
	c.answered = answer.read
	c.upgraded = time.Now()
	op, request, err := f.cfg.Dialect.Subscribe(number, &f.cfg.Members[number])
	if err != nil {
		return nil, err
	}
	if _, err = way.Write(wire.AppendMasked(nil, op, request)); err != nil {
		return nil, err
	}
	socket, err := eventloop.Detach(tcp)
	if err != nil {
		return nil, err
	}
	c.fd = socket.Fd
	if c.pipe != nil {
		c.pipe.detach(c.fd)
	}
	return c, nil
}

// counted counts what is read of a connection.
type counted struct {
	net.Conn
	read int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read += int64(n)
	return n, err
}

// source spreads connections to loopback over 127.0.0.0/8; others take what the system gives.
func source(host string, number int) net.Addr {
	ip := net.ParseIP(host)
	if ip == nil || !ip.IsLoopback() || ip.To4() == nil {
		return nil
	}
	n := number / perSource
	return &net.TCPAddr{IP: net.IPv4(127, 1, byte(n>>8), byte(n)+1)}
}

// adopt gives a connection to the loop.
func (f *Fleet) adopt(c *conn) {
	ev := unix.EpollEvent{Events: c.interest(), Fd: int32(c.number)}
	if err := unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, c.fd, &ev); err != nil {
		_ = unix.Close(c.fd)
		f.seen.Failed++
		f.seen.LastError = err.Error()
		return
	}
	f.conns[c.number] = c
	f.open++
	f.seen.Connect.record(c.upgraded.Sub(c.begun).Microseconds())
	f.seen.WireBytes += c.answered
	if rest := c.part; len(rest) > 0 {
		c.part = nil
		f.take(c, append([]byte(nil), rest...), time.Now())
	}
	if c.tls != nil && f.conns[c.number] == c {
		f.serve(c, unix.EPOLLIN, time.Now()) // crypto/tls may hold records already
	}
}
