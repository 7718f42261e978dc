package stream_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tickcast/tickcast/pkg/stream"
)

// churnEnv is how many connections TestWavesLeaveNothing has come and go on each engine and
// transport: `make churn`.
const churnEnv = "TICKCAST_CHURN"

// An ending is how a connection is left.
type ending struct {
	name string
	says func(good string) string // of the handshake, and behind it
	torn bool                     // ended by a reset
	half bool                     // by half, until the node has ended it
}

var endings = []ending{
	{"closed", whole, false, false},
	{"torn off", whole, true, false},
	{"half-closed", whole, false, true},
	{"closed in the middle of a frame", func(good string) string { return good + "\x81\xfe" }, false, false},
	{"by a close frame", func(good string) string { return good + string(clientFrame(0x88, []byte{0x03, 0xe8})) }, false, true},
	{"by a fault", func(good string) string { return good + "\xff\xff" }, false, true},
	{"torn off in the middle of a request", func(good string) string { return good[:60] }, true, false},
	{"closed in the middle of a request", func(good string) string { return good[:60] }, false, false},
	{"closed without a word", func(string) string { return "" }, false, false},
}

func whole(good string) string { return good }

// Connections come and go in waves, and end in every way. Nothing is left of them: no
// descriptor, no goroutine, no memory.
func TestWavesLeaveNothing(t *testing.T) {
	const waves = 4
	total := 400
	if secure {
		total = 100
	}
	if n, err := strconv.Atoi(os.Getenv(churnEnv)); err == nil {
		total = n
	}
	r := newRig(t, stream.Config{HandshakesPerSecond: 1_000_000})
	wave := func() {
		var strangers sync.WaitGroup
		const atOnce = 20
		for first := range atOnce {
			strangers.Go(func() {
				for i := first; i < total/waves; i += atOnce {
					if err := r.comeAndGo(endings[i%len(endings)]); err != nil {
						t.Errorf("%s: %v", endings[i%len(endings)].name, err)
						return
					}
				}
			})
		}
		strangers.Wait()
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
	before, after, _ := settled()
	wave() // pools fill
	_, _, heap := settled()
	for range waves - 1 {
		wave()
	}
	r.await("descriptors and goroutines to be back", func() bool {
		fds, goroutines, _ := settled()
		return fds <= before+2 && goroutines <= after+2 // a page request that still ends
	})
	const slack = 4 << 20 // of the NATS server in the same process, and what the crowd logs
	if _, _, now := settled(); now > heap+slack {
		t.Errorf("%d KiB of heap more than after the first wave, by %d connections", (now-heap)>>10, total)
	}
}

// comeAndGo is one connection's whole life.
func (r *rig) comeAndGo(how ending) error {
	_, addr, _ := strings.Cut(r.url, "://")
	tcp, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer tcp.Close()
	_ = tcp.SetDeadline(time.Now().Add(patience))
	c := tcp
	if secure {
		c = tls.Client(tcp, clientTLS)
	}
	says := how.says(strings.Join(goodHandshake(), "\r\n") + "\r\n\r\n")
	if _, err := io.WriteString(c, says); err != nil {
		return err
	}
	if strings.Contains(says, "\r\n\r\n") {
		answer := make([]byte, len("HTTP/1.1 101"))
		if _, err := io.ReadFull(c, answer); err != nil || !strings.HasSuffix(string(answer), "101") {
			return fmt.Errorf("upgrade: %q, %w", answer, err)
		}
	}
	if how.torn {
		return tcp.(*net.TCPConn).SetLinger(0)
	}
	if how.half {
		if err := tcp.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, tcp)
		if errors.Is(err, unix.ECONNRESET) {
			return nil // it had more to say than this end was open for
		}
	}
	return err
}
