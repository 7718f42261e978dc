package bus

import (
	"net"
	"runtime"
	"time"
)

// A paced is the connection under nats.go. It knows two things that nats.go does not tell.
//
// When nats.go reads again, all messages of what it read before are in Bus.queue. Run is woken
// then, once for all of them, where a receive from the channel would wake it with the first.
//
// A read that leaves room in its buffer has emptied the socket. The next one waits until every
// has gone by since, so that a busy connection is read once in that time, with all that came. To
// wake up, read and hand over costs some 50 us, as much as fifty messages. After a quiet time
// what comes is read at once.
type paced struct {
	net.Conn
	bus   *Bus
	every time.Duration
	alarm interface{ sleep(time.Duration) }
	next  time.Time // not to be read before
}

func (p *paced) Read(buf []byte) (int, error) {
	if p.bus.readAgain() && p.every == 0 {
		runtime.Gosched() // Run goes first: the next read is a system call that finds nothing
	}
	if !p.next.IsZero() {
		p.alarm.sleep(time.Until(p.next))
	}
	n, err := p.Conn.Read(buf)
	p.next = time.Time{}
	if p.every > 0 && n < len(buf) {
		p.next = p.bus.nextRead(time.Now().Add(p.every))
	}
	return n, err
}

// readAgain tells Run of what waits in the queue, and whether that is news to it.
func (b *Bus) readAgain() bool {
	if len(b.queue) > 0 {
		select {
		case b.arrived <- struct{}{}:
			return true
		default: // it has yet to look
		}
	}
	return false
}

// ReadBy has by asked, after each read of a busy connection, when the next one is to be at the
// latest, where that is before Config.ReadEvery is over. Zero is at no time. by must not wait.
func (b *Bus) ReadBy(by func() time.Time) { b.readBy.Store(&by) }

func (b *Bus) nextRead(latest time.Time) time.Time {
	if by := b.readBy.Load(); by != nil {
		if at := (*by)(); !at.IsZero() && at.Before(latest) {
			return at
		}
	}
	return latest
}

// A dialer is nats.go's way to a server elsewhere.
type dialer struct{ bus *Bus }

// Dial implements nats.CustomDialer.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).Dial(network, address)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return &paced{Conn: conn, bus: d.bus}, nil
	}
	s, err := newSocket(tcp)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &paced{Conn: s, bus: d.bus, every: d.bus.cfg.ReadEvery, alarm: s}, nil
}

// InProcessConn implements nats.InProcessConnProvider. Such a connection is a pipe without a
// buffer, on which the server waits while nobody reads: it is not paced.
func (d dialer) InProcessConn() (net.Conn, error) {
	conn, err := d.bus.srv.InProcessConn()
	if err != nil {
		return nil, err
	}
	return &paced{Conn: conn, bus: d.bus}, nil
}
