package eventloop

import (
	"io"

	"golang.org/x/sys/unix"
)

// An ending connection's Handler is told before Turn, or after it of what Turn has ended: not
// in the middle of a call of its own.
type ending struct {
	c    *Conn
	code int
	err  error
}

// A linger is a connection whose peer has until deadline to take what waits and to close.
type linger struct {
	c        *Conn
	deadline int64
}

// begin sends a close frame with code, or one without for 0, and reports reported and err to
// the Handler. It does nothing if the connection has ended already.
func (c *Conn) begin(code, reported int, reason string, err error) {
	if c.sendPongs(); c.state != stateOpen {
		return
	}
	l := c.loop
	l.frame = appendClose(l.frame[:0], code, reason)
	c.send(l.frame)
	if c.state != stateOpen {
		return // send has reported the end
	}
	c.state = stateLinger
	c.dropReader()
	l.ending = append(l.ending, ending{c, reported, err})
	l.lingers = append(l.lingers, linger{c, l.now + int64(l.cfg.Linger)})
	if c.backlog == nil {
		c.fin()
	}
}

// fin closes this side: the kernel has the close frame. The descriptor stays until the peer
// closes too, because closing it before everything was read would send a reset, and that can
// overtake the close frame.
func (c *Conn) fin() {
	if c.tls != nil {
		c.sealEnd()
	}
	if c.eof {
		c.gone()
		return
	}
	c.watch(interestRead)
	if c.state == stateLinger {
		_ = unix.Shutdown(int(c.fd), unix.SHUT_WR)
	}
}

// ended takes note that the peer has closed its side. Without a close frame before, that is
// the end: what waits cannot be of use to a peer that will not say whether it came.
func (c *Conn) ended() {
	c.eof = true
	switch {
	case c.state == stateOpen:
		c.lost(io.EOF)
	case c.backlog == nil:
		c.gone()
	default:
		c.watch(interestWrite)
	}
}

// lost ends a connection that can neither be read nor written.
func (c *Conn) lost(err error) {
	if c.state == stateOpen {
		c.loop.ending = append(c.loop.ending, ending{c, codeAbnormal, err})
	}
	c.gone()
}

// gone drops what c holds, and its descriptor as soon as the Handler has been told.
func (c *Conn) gone() {
	if c.state == stateGone {
		return
	}
	c.state = stateGone
	c.dropReader()
	c.dropBacklog()
	if c.told {
		c.loop.release(c)
	}
}

// tellEnded calls Closed for what has ended since. Closed may end others.
func (l *Loop) tellEnded() {
	for i := 0; i < len(l.ending); i++ {
		e := l.ending[i]
		l.handler.Closed(e.c, e.code, e.err)
		e.c.told, e.c.Data = true, nil
		if e.c.state == stateGone {
			l.release(e.c)
		}
	}
	clear(l.ending)
	l.ending = l.ending[:0]
}

// expire drops the connections whose peer took too long. A peer that still has not taken
// what waits gets a reset, so that the kernel's buffers are freed at once too.
func (l *Loop) expire() {
	for len(l.lingers) > 0 {
		first := l.lingers[0]
		if first.c.state != stateGone {
			if l.now < first.deadline {
				return
			}
			if first.c.backlog != nil {
				_ = unix.SetsockoptLinger(int(first.c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			}
			first.c.gone()
		}
		l.lingers[0] = linger{}
		l.lingers = l.lingers[1:]
	}
}
