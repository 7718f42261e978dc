package eventloop

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ListenConfig tunes a Listener. Its zero value works.
type ListenConfig struct {
	// TLS makes every connection a *tls.Conn, whose handshake is done by its first use; nil
	// leaves them plain. It should offer http/1.1 alone (NextProtos), and have
	// DynamicRecordSizingDisabled: batches leave in one write, and small records save nothing.
	TLS *tls.Config
	// FromProxy says which peers are proxies that begin each connection with a PROXY header,
	// under TLS in front of the handshake; without one nothing more is read of theirs. Others
	// may send none. See Client. nil is no peer.
	FromProxy func(netip.Addr) bool
	// VanishAfter ends a connection whose peer has acknowledged nothing for so long while
	// something was sent, or has let nothing be sent: TCP_USER_TIMEOUT. 0 leaves it to the
	// system, which takes some 15 minutes. Linux only.
	VanishAfter time.Duration
	// Full is told, at most once a second, why no connection can be accepted for want of
	// descriptors or memory. It may be nil.
	Full func(err error)
}

// A Listener accepts connections that can be detached, TLS or not. When descriptors run out it
// waits until some are free; what comes meanwhile stays in the kernel's queue. It leaves a few
// to the rest of the process, so that probes and upstream connections still work.
type Listener struct {
	*net.TCPListener
	cfg     ListenConfig
	places  places
	highest int  // no descriptor beyond it is a connection's
	takes   int  // descriptors for a moment, by one connection
	full    bool // the last one accepted was the highest; Accept's own
	told    time.Time

	closed    chan struct{}
	closeOnce sync.Once
}

// Listen listens on a TCP address.
func Listen(addr string, cfg ListenConfig) (*Listener, error) {
	control := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return vanishAfter(c, cfg.VanishAfter) }}
	ln, err := control.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Listener{
		TCPListener: ln.(*net.TCPListener), cfg: cfg, places: make(places, runtime.GOMAXPROCS(0)),
		highest: highestDescriptor(), takes: 1, closed: make(chan struct{}),
	}, nil
}

// Secure reports whether connections are TLS.
func (l *Listener) Secure() bool { return l.cfg.TLS != nil }

// Close ends Accept too while it waits for a descriptor.
func (l *Listener) Close() error {
	l.closeOnce.Do(func() { close(l.closed) })
	return l.TCPListener.Close()
}

// errReserve is why a Listener waits that has left the rest of the process a few descriptors.
var errReserve = errors.New("all descriptors but a reserve are in use")

// retryAccept is how long Accept waits for a descriptor before it looks again.
const retryAccept = 50 * time.Millisecond

// Accept is called by one goroutine.
func (l *Listener) Accept() (net.Conn, error) {
	var c *net.TCPConn
	err := l.spare(func() (fd int, err error) {
		if c, err = l.AcceptTCP(); err != nil {
			return -1, err
		}
		return descriptor(c), nil
	})
	if err != nil {
		return nil, err
	}
	return l.dressed(c), nil
}

// spare calls accept, which returns the new connection's descriptor, as soon as there are some
// to spare.
func (l *Listener) spare(accept func() (fd int, err error)) error {
	for {
		if l.full && l.wouldTake() >= l.highest {
			if err := l.pause(errReserve); err != nil {
				return err
			}
			continue
		}
		l.full = false
		fd, err := accept()
		switch {
		case err == nil:
			// The kernel gives the lowest number that is free, so this one tells how many are taken.
			l.full = fd >= l.highest
			return nil
		case !exhausted(err):
			return err
		}
		if err := l.pause(err); err != nil {
			return err
		}
	}
}

func (l *Listener) fromProxy(peer netip.Addr) bool {
	return l.cfg.FromProxy != nil && l.cfg.FromProxy(peer)
}

// dressed puts on an accepted connection what stands between it and its reader.
func (l *Listener) dressed(c net.Conn) net.Conn {
	if peer, ok := c.RemoteAddr().(*net.TCPAddr); ok && l.fromProxy(peer.AddrPort().Addr().Unmap()) {
		c = &proxied{begun: begun{Conn: c}}
	}
	if l.cfg.TLS == nil {
		return c
	}
	p := &pipe{Conn: c, places: l.places}
	p.tls = tls.Server(p, l.cfg.TLS)
	return p.tls
}

// Socket returns the socket of a *net.TCPConn, or of a *tls.Conn from a Listener; nil for
// anything else, and for what was detached.
func Socket(c net.Conn) *net.TCPConn {
	c = beneath(c)
	if b, ok := c.(interface{ socket() *net.TCPConn }); ok {
		return b.socket()
	}
	tcp, _ := c.(*net.TCPConn)
	return tcp
}

func (l *Listener) pause(why error) error {
	if now := time.Now(); l.cfg.Full != nil && now.Sub(l.told) >= time.Second {
		l.told = now
		l.cfg.Full(why)
	}
	timer := time.NewTimer(retryAccept)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-l.closed:
		return net.ErrClosed
	}
}

// exhausted tells what passes from what does not.
func exhausted(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// wouldTake is the highest descriptor that the next connection would take.
func (l *Listener) wouldTake() int {
	next := l.highest
	raw, err := l.SyscallConn()
	if err != nil {
		return next
	}
	_ = raw.Control(func(fd uintptr) {
		for range l.takes {
			n, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				next = l.highest
				return
			}
			defer func() { _ = unix.Close(n) }()
			next = n
		}
	})
	return next
}

func descriptor(c *net.TCPConn) (n int) {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { n = int(fd) })
	}
	return n
}

// reserveMax descriptors are left to the rest of the process, and no more than an eighth.
const reserveMax = 64

func highestDescriptor() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 1 << 30
	}
	most := int(min(limit.Cur, 1<<30))
	return most - min(reserveMax, most/8)
}
