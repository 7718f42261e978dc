package fleet

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	slice      = 100 * time.Millisecond
	pauseCycle = 10 * time.Second
)

// interest is what epoll waits for.
func (c *conn) interest() uint32 {
	if c.muted {
		return unix.EPOLLRDHUP
	}
	return unix.EPOLLIN | unix.EPOLLRDHUP
}

func (f *Fleet) mute(c *conn, on bool) {
	if c.muted == on {
		return
	}
	c.muted = on
	ev := unix.EpollEvent{Events: c.interest(), Fd: int32(c.number)}
	_ = unix.EpollCtl(f.epoll, unix.EPOLL_CTL_MOD, c.fd, &ev) // fails for descriptors that are not there
}

// slowTurn lets slow members read, or keeps them from it, ten times a second.
func (f *Fleet) slowTurn(now time.Time) {
	if now.Sub(f.turn) < slice {
		return
	}
	f.turn = now
	f.storming(now)
	for _, c := range f.conns {
		if c == nil || !c.acked {
			continue
		}
		switch c.pace {
		case Throttled:
			c.allowed = f.cfg.ReadRate / int(time.Second/slice)
			f.mute(c, false)
		case Paused:
			f.mute(c, now.Sub(c.upgraded)%pauseCycle >= pauseCycle/2)
		}
	}
}
