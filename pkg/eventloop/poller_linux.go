package eventloop

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a connection is watched for.
const (
	interestRead  uint32 = unix.EPOLLIN | unix.EPOLLRDHUP
	interestWrite uint32 = unix.EPOLLOUT
)

// A poller is an epoll instance and the eventfd that interrupts it.
type poller struct {
	epoll, event int
	coarse       bool // no epoll_pwait2, which is of Linux 5.11: times are in whole ms
	events       [eventsMax]unix.EpollEvent
}

func (p *poller) open() (err error) {
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("eventloop: epoll_create1: %w", err)
	}
	if p.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		_ = unix.Close(p.epoll)
		return fmt.Errorf("eventloop: eventfd: %w", err)
	}
	// Edge-triggered: every write is a new edge, so that nobody has to read it.
	if err = p.add(p.event, unix.EPOLLIN|unix.EPOLLET, wakeSlot, 0); err != nil {
		p.close()
		return err
	}
	_, err = p.wait(0)
	p.coarse = err != nil // ENOSYS, or what a sandbox makes of it
	return nil
}

func (p *poller) close() {
	_ = unix.Close(p.event)
	_ = unix.Close(p.epoll)
}

func (p *poller) wake() {
	var one [8]byte // the counter is never read: what is added must be small
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(p.event, one[:])
}

func (p *poller) add(fd int, events uint32, slot, gen int32) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, events, slot, gen)
}

func (p *poller) modify(fd int, events uint32, slot, gen int32) error {
	return p.control(unix.EPOLL_CTL_MOD, fd, events, slot, gen)
}

func (p *poller) control(op, fd int, events uint32, slot, gen int32) error {
	ev := unix.EpollEvent{Events: events, Fd: slot, Pad: gen}
	if err := unix.EpollCtl(p.epoll, op, fd, &ev); err != nil {
		return fmt.Errorf("eventloop: epoll_ctl: %w", err)
	}
	return nil
}

// wait returns what is ready, valid until the next call; nothing after timeout or when a
// signal came. A negative timeout is for ever.
func (p *poller) wait(timeout time.Duration) ([]unix.EpollEvent, error) {
	var n int
	var err error
	if p.coarse {
		ms := -1
		if timeout >= 0 {
			ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
		}
		n, err = unix.EpollWait(p.epoll, p.events[:], ms)
	} else {
		n, err = p.wait2(timeout)
	}
	switch err {
	case nil:
		return p.events[:n], nil
	case unix.EINTR:
		return nil, nil
	}
	return nil, err
}

// wait2 is epoll_pwait2, which x/sys does not wrap: batching windows are fractions of the
// milliseconds that epoll_wait counts in.
func (p *poller) wait2(timeout time.Duration) (int, error) {
	var ts *unix.Timespec
	if timeout >= 0 {
		t := unix.NsecToTimespec(int64(timeout))
		ts = &t
	}
	call := unix.Syscall6
	if timeout == 0 {
		call = unix.RawSyscall6
	}
	n, _, errno := call(unix.SYS_EPOLL_PWAIT2, uintptr(p.epoll),
		uintptr(unsafe.Pointer(&p.events[0])), eventsMax, uintptr(unsafe.Pointer(ts)), 0, 0)
	runtime.KeepAlive(ts)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
