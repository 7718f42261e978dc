package eventloop

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a connection is watched for.
const (
	interestRead  uint32 = unix.EPOLLIN | unix.EPOLLRDHUP
	interestWrite uint32 = unix.EPOLLOUT
)

// A poller is an epoll instance, and a timer that it watches: Go's own timers are in whole ms
// while nothing else happens, and batching windows are fractions of one.
//
// Go's poller watches the instance in turn, so that who waits is a goroutine that is parked and
// not a thread in epoll_wait. There it would keep its processor until sysmon took it away, 20 µs
// to 10 ms later, and would have to find another one before it could go on.
type poller struct {
	epoll, timer int
	events       [eventsMax]unix.EpollEvent

	file   *os.File // the instance
	raw    syscall.RawConn
	look   func(uintptr) bool // for raw.Read
	n      int                // what look found
	failed error
	armed  int64 // when the timer goes off; 0 = it has
}

func (p *poller) open() (err error) {
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("eventloop: epoll_create1: %w", err)
	}
	if p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		_ = unix.Close(p.epoll)
		return fmt.Errorf("eventloop: timerfd_create: %w", err)
	}
	_ = unix.SetNonblock(p.epoll, true) // says os.NewFile that it can be watched
	p.file = os.NewFile(uintptr(p.epoll), "epoll")
	p.look = func(uintptr) bool {
		p.n, p.failed = epollNow(p.epoll, p.events[:])
		return p.n > 0 || p.failed != nil
	}
	// Edge-triggered: every setting is a new edge, so that nobody has to read it.
	err = p.add(p.timer, unix.EPOLLIN|unix.EPOLLET, timerSlot, 0)
	if err == nil {
		err = p.file.SetReadDeadline(time.Time{}) // fails where Go's poller does not watch it
	}
	if err == nil {
		p.raw, err = p.file.SyscallConn()
	}
	if err != nil {
		p.close()
	}
	return err
}

func (p *poller) close() {
	_ = unix.Close(p.timer)
	_ = p.file.Close()
}

// longAgo is when the deadline of a wait was that is to end at once.
var longAgo = time.Unix(1, 0)

// wake ends a wait, or the next one. Any goroutine may call it, at any time.
func (p *poller) wake() { _ = p.file.SetReadDeadline(longAgo) }

func (p *poller) add(fd int, events uint32, slot, gen int32) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, events, slot, gen)
}

func (p *poller) modify(fd int, events uint32, slot, gen int32) error {
	return p.control(unix.EPOLL_CTL_MOD, fd, events, slot, gen)
}

func (p *poller) control(op, fd int, events uint32, slot, gen int32) error {
	ev := unix.EpollEvent{Events: events, Fd: slot, Pad: gen}
	if _, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.epoll), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0); errno != 0 {
		return fmt.Errorf("eventloop: epoll_ctl: %w", errno)
	}
	return nil
}

// now returns what is ready, valid until the next call.
func (p *poller) now() ([]unix.EpollEvent, error) {
	n, err := epollNow(p.epoll, p.events[:])
	return p.events[:n], err
}

// wait is now, but not before something is ready, wake was called, or the time is until: 0 is
// never. It may return nothing before that too.
func (p *poller) wait(until int64) ([]unix.EpollEvent, error) {
	if until != 0 && until != p.armed {
		if err := p.arm(until); err != nil {
			return nil, err
		}
	}
	switch err := p.raw.Read(p.look); {
	case err == nil:
		return p.events[:p.n], p.failed
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("eventloop: wait: %w", err)
	}
	// Who woke us has something to be done now. What is ready is looked at before the next wait.
	_ = p.file.SetReadDeadline(time.Time{})
	return nil, nil
}

// arm sets the timer. Where the next wait has no end it still goes off, which does no harm.
func (p *poller) arm(until int64) error {
	left := unix.NsecToTimespec(max(1, until-Now())) // 0 would stop it
	if err := unix.TimerfdSettime(p.timer, 0, &unix.ItimerSpec{Value: left}, nil); err != nil {
		return fmt.Errorf("eventloop: timerfd_settime: %w", err)
	}
	p.armed = until
	return nil
}
