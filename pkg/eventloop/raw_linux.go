package eventloop

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A call on a socket that is non-blocking returns within microseconds, so these calls are made
// without a word to Go's scheduler. Told, it takes the processor away from calls of over 20 µs,
// as its watching thread sees them, and has another thread woken: on a busy machine that cost a
// node 5 % of its CPU. The price is that whoever stops the world waits for the call.

// write returns 0 where the kernel has no room. It is sendto, and read is recvfrom, because write(2)
// looks at a file first, and then finds a socket: among a thousand sockets that is 4 to 6 % of the
// call, in cache misses.
func write(fd int32, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EAGAIN:
			return 0, nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

func read(fd int32, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// epollNow returns how many events there are, and does not wait for any.
func epollNow(epoll int, events []unix.EpollEvent) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// accept4 is for a listener that is non-blocking. (That of x/sys asks each socket whether it
// is one of MPTCP.)
func accept4(ln int) (fd int, from netip.AddrPort, err error) {
	var sa unix.RawSockaddrInet6 // the longest that TCP has
	size := uint32(unix.SizeofSockaddrInet6)
	n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(ln), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)),
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, netip.AddrPort{}, errno
	}
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:])
	switch sa.Family {
	case unix.AF_INET:
		from = netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(&sa)).Addr), port)
	case unix.AF_INET6:
		from = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap().WithZone(zone(sa.Scope_id)), port)
	}
	return int(n), from, nil
}
