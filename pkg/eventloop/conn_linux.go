package eventloop

import (
	"time"

	"golang.org/x/sys/unix"
)

type state uint8

const (
	stateOpen   state = iota
	stateLinger       // the close frame is written or waits; what comes in is thrown away
	stateGone         // nothing goes in or out
)

// A Conn is one connection, as its loop's Handler sees it: between Open and Closed, and only
// inside the Handler's methods. After Closed its methods do nothing.
type Conn struct {
	// Data is the caller's: the session. It is forgotten after Closed.
	Data any

	loop    *Loop
	tls     *pipe        // nil = plain
	in      *frameReader // nil between frames
	backlog *backlog     // nil when nothing waits
	fd      int32
	slot    int32
	watched uint32 // what epoll was last told to wait for
	state   state
	told    bool // Closed was called
	eof     bool // the peer's side is closed
	deflate bool // inbound, without context takeover
}

// Write sends one whole frame, or several, and returns how many bytes still wait. What the
// kernel does not take is copied, and goes out before anything else as soon as there is
// room; Drained tells when it has gone. frame is not retained, so that many connections can
// share one. The caller should not write more while bytes wait: nothing bounds them here.
func (c *Conn) Write(frame []byte) (waiting int) {
	if c.sendPongs(); c.state == stateOpen {
		c.send(frame)
	}
	return c.Waiting()
}

// Waiting returns how many bytes the kernel has not taken; of TLS, sealed ones.
func (c *Conn) Waiting() int {
	if c.backlog == nil || c.state != stateOpen {
		return 0
	}
	return c.backlog.waiting()
}

// Close sends a close frame behind what waits, then closes this side, and the descriptor when
// the peer has closed its own or after Config.Linger. Closed follows in the same turn, but not
// before the Handler's method returns. Code 0 sends a frame without a code; the reason is cut to 123 bytes.
func (c *Conn) Close(code int, reason string) { c.begin(code, code, reason, nil) }

// TCPInfo is what the kernel knows of a connection's way out.
type TCPInfo struct {
	Queued  int // bytes not acknowledged, sent or not
	NotSent int // bytes of those that were not sent yet
	RTT     time.Duration
}

// Info asks the kernel, which costs two system calls. It is zero after the end.
func (c *Conn) Info() TCPInfo {
	if c.state == stateGone {
		return TCPInfo{}
	}
	return InfoOf(int(c.fd))
}

// InfoOf asks for a socket that no loop owns.
func InfoOf(fd int) TCPInfo {
	queued, _ := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return TCPInfo{Queued: queued}
	}
	return TCPInfo{Queued: queued, NotSent: int(info.Notsent_bytes), RTT: time.Duration(info.Rtt) * time.Microsecond}
}

// setBuffers is for a connection, or for a listener whose connections inherit it.
func setBuffers(fd int, c Config) error {
	if n := c.SendBuffer; n > 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, n); err != nil {
			return err
		}
	}
	if n := c.NotSentLowat; n > 0 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, n)
	}
	return nil
}

// send seals and writes whole frames, and keeps what the kernel does not take. Frames enter
// a backlog only whole and only at its end, so nothing is ever sent inside another frame.
func (c *Conn) send(frames []byte) {
	if c.loop.opening.c == c {
		frames = c.loop.withAnswer(frames)
	}
	if c.tls != nil {
		var err error
		if frames, err = c.seal(frames); err != nil {
			c.lost(err)
			return
		}
	}
	c.sendRaw(frames)
}

// withAnswer puts what answers the handshake in front of the first frames that the connection
// being opened sends.
func (l *Loop) withAnswer(frames []byte) []byte {
	l.opened = append(append(l.opened[:0], l.opening.answer...), frames...)
	l.opening.c = nil
	return l.opened
}

func (c *Conn) sendRaw(p []byte) {
	if c.backlog != nil {
		c.loop.backlogs.add(c.backlog, p)
		return
	}
	n, err := c.put(p)
	if err != nil {
		c.lost(err)
		return
	}
	if n < len(p) {
		c.backlog = c.loop.backlogs.take(p[n:])
		c.watch(interestRead | interestWrite)
	}
}

// put gives the kernel what it takes, and counts it.
func (c *Conn) put(p []byte) (int, error) {
	n, err := write(c.fd, p)
	c.loop.written += int64(n)
	return n, err
}

// flush sends what waits, as much as the kernel takes.
func (c *Conn) flush() {
	b := c.backlog
	for {
		n, err := c.put(b.buf[b.sent:])
		if err != nil {
			c.lost(err)
			return
		}
		if b.sent += n; b.waiting() > 0 {
			return
		}
		if len(b.pong) == 0 || c.state != stateOpen {
			break
		}
		b.buf, b.sent = b.buf[:0], 0
		c.send(b.pong)
		b.pong = b.pong[:0]
		if c.state != stateOpen {
			return
		}
	}
	c.dropBacklog()
	if c.state == stateLinger {
		c.fin()
		return
	}
	c.loop.handler.Drained(c)
	if c.backlog == nil && c.state == stateOpen {
		c.watch(interestRead)
	}
}

func (c *Conn) dropBacklog() {
	if c.backlog != nil {
		c.loop.backlogs.give(c.backlog)
		c.backlog = nil
	}
}

// watch tells epoll what to wait for, if that is news. Waiting for room is asked for only
// while there is a backlog, and left on when Drained fills it again at once.
func (c *Conn) watch(events uint32) {
	if c.eof {
		events &^= interestRead // a closed side would be reported for ever
	}
	if events == c.watched {
		return
	}
	c.watched = events
	if err := c.loop.poller.modify(int(c.fd), events, c.slot, c.loop.slots[c.slot].gen); err != nil {
		c.lost(err)
	}
}
