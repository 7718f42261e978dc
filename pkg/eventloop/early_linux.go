package eventloop

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Early returns a listener that shows take what each peer says first, before it costs a
// net.Conn. If take reports true the socket is its own, non-blocking, to be given to Adopt;
// otherwise Accept returns the connection as if nothing had been read. client is who a proxy says
// that it speaks for, if it does; its PROXY header is no part of said, which is the listener's
// again on return. The kernel keeps a peer that says nothing for about a second; take does not
// see it then. take must not block, and l must have no TLS. Close what Early returns: it closes l.
//
// Connections have the send buffer and the low-water mark of c from the start: see Adopted.Sized.
func (l *Listener) Early(c Config, take func(fd int, peer, client netip.AddrPort, said []byte) bool) (net.Listener, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var setErr error
	err = raw.Control(func(ln uintptr) {
		if setErr = announceEarly(int(ln), c); setErr == nil {
			fd, setErr = unix.FcntlInt(ln, unix.F_DUPFD_CLOEXEC, 0)
		}
	})
	if err = errors.Join(err, setErr); err != nil {
		return nil, err
	}
	l.takes = 2 // FileConn makes a second one before the first is closed
	e := &early{Listener: l, file: os.NewFile(uintptr(fd), "listener"), take: take}
	if e.raw, err = e.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, e.file.Close())
	}
	return e, nil
}

// announceEarly sets what connections inherit, as net.TCPListener would set it on each, and has
// the kernel keep them until they have something to say, for a second.
func announceEarly(ln int, c Config) error {
	if err := setBuffers(ln, c); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	for _, o := range []struct{ level, name, value int }{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
		{unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1},
	} {
		if err := unix.SetsockoptInt(ln, o.level, o.name, o.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

// An early listener accepts by system calls of its own; its Listener waits for descriptors.
type early struct {
	*Listener
	file *os.File // a second descriptor: net gives no way to wait for its own
	raw  syscall.RawConn
	take func(fd int, peer, client netip.AddrPort, said []byte) bool
	buf  [saidMax]byte

	accepted uint
}

func (e *early) Close() error { return errors.Join(e.file.Close(), e.Listener.Close()) }

// acceptedAtOnce is after how many of a crowd the loops have their turn where they share the
// processor: some 0.3 ms.
const acceptedAtOnce = 16

// Accept is called by one goroutine.
func (e *early) Accept() (net.Conn, error) {
	for {
		var fd int
		var from netip.AddrPort
		err := e.spare(func() (int, error) {
			var err error
			fd, from, err = e.accept()
			return fd, err
		})
		if err != nil {
			return nil, err
		}
		if e.accepted++; e.accepted%acceptedAtOnce == 0 {
			runtime.Gosched()
		}
		c, err := e.meet(fd, from)
		if c != nil {
			// accept4 took the number that the one before gave back: it does not tell how many are taken.
			e.full = descriptor(Socket(c)) >= e.highest
			return c, nil
		}
		if err != nil && exhausted(err) { // in spite of the reserve
			if err := e.pause(err); err != nil {
				return nil, err
			}
		}
	}
}

func (e *early) accept() (fd int, from netip.AddrPort, err error) {
	closed := e.raw.Read(func(ln uintptr) bool {
		for {
			fd, from, err = accept4(int(ln))
			if err != unix.EINTR && err != unix.ECONNABORTED {
				return err != unix.EAGAIN
			}
		}
	})
	if closed != nil {
		return -1, from, net.ErrClosed
	}
	if err != nil {
		err = os.NewSyscallError("accept4", err)
	}
	return fd, from, err
}

// meet returns nil for a connection that was taken or has ended, and why it had to be given up.
func (e *early) meet(fd int, from netip.AddrPort) (net.Conn, error) {
	n, err := read(int32(fd), e.buf[:])
	switch {
	case err == unix.EAGAIN, err == unix.EINTR:
		n = 0
	case err != nil, n == 0:
		_ = unix.Close(fd)
		return nil, nil
	case e.offer(fd, from, e.buf[:n]):
		return nil, nil
	}
	f := os.NewFile(uintptr(fd), "connection")
	defer func() { _ = f.Close() }()
	c, err := net.FileConn(f) // by a second descriptor
	if err != nil {
		return nil, err
	}
	if c.RemoteAddr() == nil { // reset since: nobody would get an answer, and net/http expects a name
		return nil, c.Close()
	}
	if n > 0 {
		c = &begun{Conn: c, said: bytes.Clone(e.buf[:n])}
	}
	return e.dressed(c), nil
}

// offer reports whether the connection was taken.
func (e *early) offer(fd int, peer netip.AddrPort, said []byte) bool {
	if !e.fromProxy(peer.Addr()) {
		return e.take(fd, peer, netip.AddrPort{}, said)
	}
	client, behind, err := readProxy(bytes.NewReader(said))
	return err == nil && e.take(fd, peer, client, behind)
}

// zone names the interface of a link-local address, as package net does.
func zone(index uint32) string {
	if index == 0 {
		return ""
	}
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		return i.Name
	}
	return strconv.FormatUint(uint64(index), 10)
}
