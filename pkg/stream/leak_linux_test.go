package stream_test

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tickcast/tickcast/pkg/stream"
)

// Connections come and go in waves, thousands at a time, half of them torn off. Nothing is
// left of them: no descriptor, no goroutine, no memory.
func TestWavesLeaveNothing(t *testing.T) {
	waves, crowd := 10, 5_000
	switch {
	case raceEnabled && secure:
		waves, crowd = 2, 50
	case raceEnabled:
		waves, crowd = 4, 200
	case secure:
		waves, crowd = 4, 500
	case engine == stream.EngineGoroutine:
		waves, crowd = 5, 2_000
	}
	r := newRig(t, stream.Config{HandshakesPerSecond: 1_000_000})
	_, addr, _ := strings.Cut(r.url, "://")
	at, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	request := []byte(strings.Join(goodHandshake(), "\r\n") + "\r\n\r\n")
	wave := func(torn bool) {
		var fds []int
		if secure {
			for _, c := range upgradeSecureCrowd(t, addr, crowd, request) {
				if torn {
					_ = c.SetLinger(0)
				}
				_ = c.Close()
			}
		} else {
			fds = upgradeCrowd(t, at, crowd, request)
		}
		for _, fd := range fds {
			if torn {
				_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			}
			_ = unix.Close(fd)
		}
	}
	settled := func() (descriptors, goroutines int, heap uint64) {
		r.await("all sessions to end", func() bool { return len(r.sessions()) == 0 })
		pages.CloseIdleConnections()
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return len(names), runtime.NumGoroutine(), m.HeapAlloc
	}
	wave(false) // pools fill
	fds, goroutines, heap := settled()
	for i := range waves {
		wave(i%2 == 1)
	}
	r.await("descriptors and goroutines to be back", func() bool {
		nowFds, nowGoroutines, _ := settled()
		return nowFds <= fds+2 && nowGoroutines <= goroutines+2 // a page request that still ends
	})
	const slack = 4 << 20 // of the NATS server in the same process, and what the crowd logs
	if _, _, now := settled(); now > heap+slack {
		t.Errorf("%d KiB of heap more than after the first wave, by %d connections", (now-heap)>>10, waves*crowd)
	}
}

// upgradeSecureCrowd does over TLS, some at a time, what upgradeCrowd does.
func upgradeSecureCrowd(t *testing.T, addr string, n int, request []byte) []*net.TCPConn {
	t.Helper()
	conns := make([]*net.TCPConn, n)
	var dialers sync.WaitGroup
	const atOnce = 20
	for first := range atOnce {
		dialers.Go(func() {
			for i := first; i < n; i += atOnce {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				conns[i] = c.(*net.TCPConn)
				over := tls.Client(c, clientTLS)
				answer := make([]byte, len("HTTP/1.1 101"))
				if _, err = over.Write(request); err == nil {
					_, err = io.ReadFull(over, answer)
				}
				if err != nil || !strings.HasSuffix(string(answer), "101") {
					t.Errorf("upgrade: %q, %v", answer, err)
				}
			}
		})
	}
	dialers.Wait()
	return conns
}
