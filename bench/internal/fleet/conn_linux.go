package fleet

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tickcast/tickcast/bench/internal/wire"
)

// Close codes that RFC 6455 keeps for what was not sent.
const (
	codeNone     = 1005
	codeAbnormal = 1006
)

// A conn is one connection, touched by the loop alone once adopted.
type conn struct {
	fd       int
	number   int
	pace     Pace
	begun    time.Time // dialled
	upgraded time.Time
	answered int64 // bytes of the upgrade's answer, and of what came with it

	part  []byte // the beginning of a frame that has not come whole
	msg   []byte // the beginning of a fragmented message
	op    byte   // its opcode; 0 between messages
	rsv   bool
	acked bool
	muted bool // epoll is told not to wait for input

	messages int64
	first    int64 // Unix ns of the first message after the ack
	last     int64
	allowed  int // bytes that a throttled member may still read in this slice of time

	tls  *tls.Conn
	pipe *pipe
}

// serve reads what a connection has, as far as its pace allows.
func (f *Fleet) serve(c *conn, events uint32, now time.Time) {
	if c == nil {
		return
	}
	const ending = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	for {
		buf := f.buf
		if c.pace == Throttled && c.acked && events&ending == 0 {
			if c.allowed <= 0 {
				f.mute(c, true)
				return
			}
			buf = buf[:min(len(buf), c.allowed)]
		}
		n, err := c.read(buf)
		c.allowed -= n
		if n > 0 {
			f.seen.WireBytes += int64(n)
			f.take(c, buf[:n], now)
		}
		switch {
		case f.conns[c.number] != c:
			return // over
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil:
			f.drop(c, codeAbnormal)
			return
		case n < len(buf) && c.tls == nil && events&ending == 0:
			return // nothing more is there; a hang-up is read to its end
		}
	}
}

// read returns EAGAIN when nothing is there, and io.EOF at the end.
func (c *conn) read(buf []byte) (int, error) {
	if c.tls != nil {
		n, err := c.tls.Read(buf)
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			err = unix.EAGAIN
		}
		return n, err
	}
	return readFD(c.fd, buf)
}

func readFD(fd int, buf []byte) (int, error) {
	for {
		switch n, err := unix.Read(fd, buf); {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// take follows frames through what was read. b is not kept.
func (f *Fleet) take(c *conn, b []byte, now time.Time) {
	if len(c.part) > 0 {
		c.part = append(c.part, b...)
		b = c.part
	}
	at := 0
	for {
		frame, n, err := wire.Next(b[at:])
		if err != nil {
			f.seen.Malformed++
			f.drop(c, codeAbnormal)
			return
		}
		if n == 0 {
			break
		}
		at += n
		f.frame(c, &frame, now)
		if f.conns[c.number] != c {
			return
		}
	}
	c.part = append(c.part[:0], b[at:]...)
	if len(c.part) == 0 && cap(c.part) > 4<<10 {
		c.part = nil
	}
}

func (f *Fleet) frame(c *conn, fr *wire.Frame, now time.Time) {
	switch fr.Op {
	case wire.OpPing:
		f.send(c, wire.OpPong, fr.Payload)
		return
	case wire.OpPong:
		return
	case wire.OpClose:
		code := codeNone
		if len(fr.Payload) >= 2 {
			code = int(binary.BigEndian.Uint16(fr.Payload))
		}
		f.send(c, wire.OpClose, fr.Payload[:min(len(fr.Payload), 2)])
		f.drop(c, code)
		return
	}
	payload, compressed := fr.Payload, fr.Compressed
	if c.op != 0 || !fr.Fin {
		if c.op == 0 {
			c.op, c.rsv = fr.Op, fr.Compressed
		}
		if c.msg = append(c.msg, payload...); !fr.Fin {
			return
		}
		payload, compressed = c.msg, c.rsv
		c.op, c.msg = 0, nil
	}
	if compressed {
		var err error
		if payload, err = f.inflate.inflate(payload); err != nil {
			f.seen.Malformed++
			return
		}
	}
	f.message(c, payload, now)
}

func (f *Fleet) message(c *conn, payload []byte, now time.Time) {
	acks, errs := f.seen.Acks, f.seen.Errors
	oldest := f.cfg.Dialect.Message(c.number, &f.seen.Tally, payload)
	at := now.UnixNano()
	if !c.acked && f.seen.Acks > acks {
		c.acked = true
		f.ready++
		f.seen.Subscribe.record(now.Sub(c.upgraded).Microseconds())
		c.first, c.messages = at, 0
		if c.pace == Stalled {
			f.mute(c, true)
		}
	}
	if !c.acked && f.seen.Errors > errs {
		f.seen.Failed++
		f.seen.LastError = "a subscribe request was refused: " + fmt.Sprintf("%q", payload[:min(len(payload), 200)])
		f.drop(c, 0)
		f.again(c.number)
		return
	}
	if oldest == 0 {
		return
	}
	if c.messages > 0 && c.pace == Healthy {
		expected := (at - c.first) / c.messages
		f.seen.WorstPause = max(f.seen.WorstPause, (at-c.last)/1000)
		f.seen.Latency.correct((at-oldest)/1000, (at-c.last)/1000, expected/1000)
	}
	c.messages++
	c.last = at
}

// send writes a small frame, which fits the kernel's buffer or is not worth waiting for.
func (f *Fleet) send(c *conn, op byte, payload []byte) {
	frame := wire.AppendMasked(nil, op, payload)
	if c.tls != nil {
		_, _ = c.tls.Write(frame)
		return
	}
	_, _ = unix.Write(c.fd, frame)
}

// drop ends a connection. Code 0 says that we wanted it.
func (f *Fleet) drop(c *conn, code int) {
	_ = unix.Close(c.fd)
	f.conns[c.number] = nil
	f.open--
	if c.acked {
		f.ready--
	}
	f.cfg.Dialect.Closed(c.number)
	if code != 0 {
		f.seen.Closes[code]++
		f.again(c.number)
	}
}
