// Package floor is the least that a server can do: epoll loops that copy a window's trades
// into one buffer per connection and call write(2). There is no NATS, no policy, no queue,
// no metric, and of matching only the list of symbols that each connection has. What a
// service costs above it is its own; what the floor costs is the kernel's.
//
// It speaks enough of tickcast's protocol for the same subscribers to read it: an upgrade,
// one subscribe request, its ack, then batches.
package floor

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tickcast/tickcast/bench/internal/tape"
	"github.com/tickcast/tickcast/bench/internal/wire"
)

// A loop owns the connections that were given to it and sends to each, once a window, what
// happened to its symbols.
type loop struct {
	epoll, timer int
	window       time.Duration
	market       *tape.Windows
	adopt        chan *conn
	conns        []*conn
	buf          []byte
}

type conn struct {
	fd      int
	symbols []int
	pending []byte // the end of a frame that the kernel did not take
	gone    bool
}

// bufBytes holds the largest frame: a window's trades of every symbol that one wants.
const bufBytes = 16 << 20

func newLoop(market *tape.Windows, window time.Duration) (*loop, error) {
	l := &loop{window: window, market: market, adopt: make(chan *conn, 1024), buf: make([]byte, 0, bufBytes)}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("floor: epoll_create1: %w", err)
	}
	if l.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("floor: timerfd_create: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(l.timer)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.timer, &ev); err != nil {
		return nil, fmt.Errorf("floor: epoll_ctl: %w", err)
	}
	return l, nil
}

// run serves until stop closes. A connection that ends is noticed by epoll; what it sends is
// thrown away.
func (l *loop) run(stop <-chan struct{}) error {
	events := make([]unix.EpollEvent, 256)
	byFD := make(map[int32]*conn)
	for flushed := time.Now(); ; {
		next := flushed.Add(l.window)
		if l.window == 0 {
			next = l.market.NextAt()
		}
		if err := l.sleep(next, events, byFD); err != nil {
			return err
		}
		for more := true; more; {
			select {
			case <-stop:
				return nil
			case c := <-l.adopt:
				ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.fd)}
				if unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, c.fd, &ev) == nil {
					byFD[int32(c.fd)] = c
					l.conns = append(l.conns, c)
				}
			default:
				more = false
			}
		}
		if now := time.Now(); !now.Before(next) {
			flushed = now
			l.market.Take(now)
			l.flush()
		}
	}
}

func (l *loop) sleep(until time.Time, events []unix.EpollEvent, byFD map[int32]*conn) error {
	left := unix.NsecToTimespec(max(1, int64(time.Until(until))))
	if err := unix.TimerfdSettime(l.timer, 0, &unix.ItimerSpec{Value: left}, nil); err != nil {
		return fmt.Errorf("floor: timerfd_settime: %w", err)
	}
	n, err := unix.EpollWait(l.epoll, events, -1)
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("floor: epoll_wait: %w", err)
	}
	var sink [4 << 10]byte
	for _, ev := range events[:max(n, 0)] {
		if c := byFD[ev.Fd]; c != nil {
			if n, err := unix.Read(c.fd, sink[:]); n == 0 || err != nil && err != unix.EAGAIN {
				l.drop(c)
				delete(byFD, ev.Fd)
			}
		}
	}
	return nil
}

func (l *loop) drop(c *conn) {
	c.gone = true
	_ = unix.Close(c.fd)
	for i := range l.conns {
		if l.conns[i] == c {
			last := len(l.conns) - 1
			l.conns[i], l.conns = l.conns[last], l.conns[:last]
			return
		}
	}
}

// flush is the floor itself.
func (l *loop) flush() {
	if l.market.Total == 0 {
		return
	}
	const at = wire.HeadBytes
	for _, c := range l.conns {
		n := 0
		buf := wire.AppendBatchHead(l.buf[:at])
		for _, s := range c.symbols {
			if k := l.market.Counts[s]; k > 0 {
				buf = append(buf, l.market.Chunks[s]...)
				n += k
			}
		}
		if n == 0 {
			continue
		}
		wire.PutCount(buf[at:], n)
		c.write(buf[wire.PutHead(buf, at, wire.OpBinary):])
	}
}

// write sends a frame whole or not at all, except for the end of one, which goes first the
// next time. Who reads too slowly misses frames: there is no policy here.
func (c *conn) write(frame []byte) {
	if len(c.pending) > 0 {
		n, _ := unix.Write(c.fd, c.pending)
		if c.pending = c.pending[max(n, 0):]; len(c.pending) > 0 {
			return
		}
	}
	n, err := unix.Write(c.fd, frame)
	if err == nil && n < len(frame) {
		c.pending = append([]byte(nil), frame[n:]...)
	}
}
