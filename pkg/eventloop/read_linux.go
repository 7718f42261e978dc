package eventloop

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// readShare reads once from a connection that epoll reported, at most ReadBudget bytes. What
// is left is reported again in the next turn. What was read and has yet to be decoded comes first.
func (c *Conn) readShare() {
	l := c.loop
	if c.in != nil && len(c.in.rest) > 0 {
		c.resume()
		return
	}
	n, err := read(c.fd, l.read)
	switch {
	case err == unix.EAGAIN, err == unix.EINTR:
	case err != nil:
		c.lost(err)
	case n == 0:
		c.ended()
	case c.state == stateLinger:
		// Nobody listens any more; an unread byte would make close(2) a reset, which can
		// cost the peer our close frame.
	case c.tls != nil:
		c.decrypt(l.read[:n])
	default:
		c.consume(l.read[:n])
	}
}

// consume decodes what a peer sent, in the loop's own buffer or in one that was given away.
// Only a connection in the middle of a frame or message keeps a reader.
func (c *Conn) consume(p []byte) {
	l := c.loop
	r := c.in
	if r == nil {
		r = l.spare
		if c.deflate {
			r.inflater = &l.inflater
		}
	}
	if len(r.rest) > 0 {
		r.rest = append(r.rest, p...) // of the same share
		return
	}
	l.reading = c
	for more := true; more && c.state == stateOpen; {
		var ev event
		ev, p = r.next(p)
		switch ev.kind {
		case kindNone:
			more = false
		case kindMessage:
			l.handler.Message(c, ev.text, ev.payload)
			if len(p) > 0 && l.overdue() && c.state == stateOpen {
				r.rest = append(r.rest, p...)
				l.asks(c)
				more = false
			}
		case kindPing:
			l.answer(ev.payload)
		case kindPong:
		case kindClose:
			reply := ev.code
			if reply == codeNone {
				reply = 0
			}
			l.handler.Ending(c)
			c.begin(reply, ev.code, "", nil)
		case kindFault:
			l.handler.Ending(c)
			c.begin(ev.fault.code, ev.fault.code, ev.fault.text, ev.fault)
		}
	}
	c.sendPongs()
	l.reading = nil
	if c.state == stateOpen && (!r.idle() || len(r.rest) > 0) {
		if c.in == nil {
			c.in, l.spare = r, l.takeReader()
		}
		return
	}
	if r == l.spare {
		r.reset()
		return
	}
	// begin and lost have given r back already when the connection ended.
	c.dropReader()
}

// resume decodes what an earlier turn had no time for.
func (c *Conn) resume() {
	rest := c.in.rest
	c.in.rest = rest[:0] // what is left moves to its beginning
	c.consume(rest)
	if c.tls != nil && c.state == stateOpen {
		c.decrypt(nil) // the end may have come behind it
	}
}

func (c *Conn) dropReader() {
	if c.in != nil {
		c.loop.giveReader(c.in)
		c.in = nil
	}
}

// pongBytesMax bounds the answers to one share, which may hold thousands of pings. Beyond
// it only the last ping is answered, as RFC 6455 section 5.5.3 allows.
const pongBytesMax = 4 << 10

// answer adds a pong to those that sendPongs will send.
func (l *Loop) answer(ping []byte) {
	if len(l.pongs) > pongBytesMax {
		l.pongs = l.pongs[:l.lastPong]
	}
	l.lastPong = len(l.pongs)
	l.pongs = append(AppendFrameHeader(l.pongs, opPong, len(ping), false), ping...)
}

// sendPongs answers the pings of this share so far, before anything else is sent to c: all of
// them, or the last one, later, where the peer does not take what it was sent before.
func (c *Conn) sendPongs() {
	l := c.loop
	if l.reading != c || len(l.pongs) == 0 {
		return
	}
	pongs := l.pongs
	l.pongs = l.pongs[:0]
	switch {
	case c.state != stateOpen:
	case c.backlog != nil:
		c.backlog.pong = append(c.backlog.pong[:0], pongs[l.lastPong:]...)
	default:
		c.send(pongs)
	}
}

// decrypt gives records to the tls.Conn and decodes what comes out of it, until it has kept
// the piece of a record that is left. Nothing that was read from the socket stays unseen.
func (c *Conn) decrypt(records []byte) {
	l := c.loop
	if l.plain == nil {
		l.plain = make([]byte, 16<<10) // the most that one record holds
	}
	c.tls.in = records
	for c.state == stateOpen {
		n, err := c.tls.tls.Read(l.plain)
		// A key update is answered by records of the tls.Conn's own.
		if own := c.tls.take(); len(own) > 0 {
			c.sendOwn(own)
		}
		if n > 0 && c.state == stateOpen {
			c.consume(l.plain[:n])
		}
		switch {
		case err == nil, c.state != stateOpen:
		case err == errNoRecord:
			return
		case err == io.EOF && c.in != nil && len(c.in.rest) > 0:
			c.tls.in = nil
			return // it is said again
		case err == io.EOF:
			c.ended()
		default:
			c.lost(err)
		}
	}
	c.tls.in = nil
}

// ownBytesMax bounds the answers to key updates that wait for a peer which does not read: some
// hundred. Others ask for one after gigabytes.
const ownBytesMax = 4 << 10

var errKeyUpdates = errors.New("eventloop: too many key updates from a peer that does not read")

func (c *Conn) sendOwn(records []byte) {
	if c.backlog != nil {
		if c.backlog.own += len(records); c.backlog.own > ownBytesMax {
			c.lost(errKeyUpdates)
			return
		}
	}
	c.sendRaw(records)
}
