package bus

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// An alarm lets one goroutine sleep to within some 0.1 ms, where time.Sleep is up to 1 ms late:
// Go's poller counts in whole ms. A millisecond more a window would be one more for every tick.
type alarm struct{ timer *os.File }

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("bus: timerfd_create: %w", err)
	}
	return &alarm{os.NewFile(uintptr(fd), "timerfd")}, nil
}

// sleep returns when d has gone by, or at once after close.
func (a *alarm) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	raw, err := a.timer.SyscallConn()
	if err != nil {
		return
	}
	set := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	armed := false
	_ = raw.Control(func(fd uintptr) { armed = unix.TimerfdSettime(int(fd), 0, &set, nil) == nil })
	if armed {
		var expirations [8]byte
		_, _ = a.timer.Read(expirations[:])
	}
}

func (a *alarm) close() { _ = a.timer.Close() }
