package bus

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hearBytes is from how much on what comes wakes a sleeper before its time: 200 MB/s with the
// usual window. The kernel makes the socket's buffer large enough for it.
const hearBytes = 1 << 20

// A socket is a TCP connection that one goroutine reads and may sleep beside, for less than a
// net.Conn and a time.Sleep take. Its calls return within microseconds, and are made without a
// word to Go's scheduler: told of one after a sleep, it wakes its watching thread, and that looks
// around four times before it sleeps again.
type socket struct {
	net.Conn
	raw   syscall.RawConn
	timer *os.File
	alarm syscall.RawConn

	// the reader's
	deaf bool // what comes wakes nobody
	buf  []byte
	n    int
	err  error
	set  unix.ItimerSpec
	rung bool
}

// newSocket takes conn over. On an error it is still the caller's.
func newSocket(conn *net.TCPConn) (*socket, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("bus: timerfd_create: %w", err)
	}
	s := &socket{Conn: conn, raw: raw, timer: os.NewFile(uintptr(fd), "timerfd")}
	if s.alarm, err = s.timer.SyscallConn(); err != nil {
		_ = s.timer.Close()
		return nil, fmt.Errorf("bus: %w", err)
	}
	return s, nil
}

// Read is for one goroutine, which alone sleeps.
func (s *socket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.buf = p
	err := s.raw.Read(s.take)
	s.buf = nil
	switch {
	case err != nil: // closed, or the deadline has come
		return 0, err
	case s.err != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: s.err}
	case s.n == 0:
		return 0, io.EOF
	}
	return s.n, nil
}

// take is false where nothing has come; whatever comes then is heard.
func (s *socket) take(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(s.buf))), uintptr(len(s.buf)), 0, 0, 0)
		switch {
		case errno == 0:
			s.n, s.err = int(n), nil
			return true
		case errno == unix.EINTR:
		case errno != unix.EAGAIN:
			s.n, s.err = 0, os.NewSyscallError("recvfrom", errno)
			return true
		case !s.deaf:
			return false
		default:
			s.deaf = false
			_ = lowat(fd, 1) // and look again: it may just have come
		}
	}
}

// sleep returns when d has gone by, to within some 0.1 ms, where time.Sleep is up to 1 ms late,
// since Go's poller counts in whole ms: each tick would be that much later. It returns at once
// after Close. What comes meanwhile is not heard: to look at each segment and sleep on cost more
// than to read them all.
func (s *socket) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	if !s.deaf {
		_ = s.raw.Control(func(fd uintptr) { s.deaf = lowat(fd, hearBytes) == nil })
	}
	s.set, s.rung = unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, false
	_ = s.alarm.Read(s.ring)
}

// ring is called before the alarm, which it sets, and when that has gone off. The timer is never
// read: each time that it goes off is an edge.
func (s *socket) ring(fd uintptr) bool {
	if s.rung {
		return true
	}
	s.rung = true
	_, _, errno := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&s.set)), 0, 0, 0)
	return errno != 0
}

// lowat says how much must have come for the socket to count as readable.
func lowat(fd uintptr, bytes int32) error {
	if _, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_RCVLOWAT, uintptr(unsafe.Pointer(&bytes)), unsafe.Sizeof(bytes), 0); errno != 0 {
		return errno
	}
	return nil
}

// Close ends a Read and a sleep.
func (s *socket) Close() error {
	return errors.Join(s.Conn.Close(), s.timer.Close())
}
