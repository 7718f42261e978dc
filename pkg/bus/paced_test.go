package bus

import (
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
)

// A source is a connection that is read and does nothing else: it gives what has come by the
// times it was made with, and waits while nothing has.
type source struct {
	net.Conn
	start time.Time
	came  []came
}

type came struct {
	after time.Duration // since the start
	bytes int
}

func (s *source) Read(p []byte) (int, error) {
	if len(s.came) == 0 {
		return 0, io.EOF
	}
	time.Sleep(time.Until(s.start.Add(s.came[0].after)))
	n := 0
	for n < len(p) && len(s.came) > 0 && s.came[0].after <= time.Since(s.start) {
		part := min(len(p)-n, s.came[0].bytes)
		n += part
		if s.came[0].bytes -= part; s.came[0].bytes == 0 {
			s.came = s.came[1:]
		}
	}
	return n, nil
}

// A sleeper sleeps by the clock of the test.
type sleeper struct{}

func (sleeper) sleep(d time.Duration) { time.Sleep(d) }

func TestABusyConnectionIsReadOnceInAWhile(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name  string
		every time.Duration
		came  []came
		want  []came // when it was read, and how much
	}{
		{"what comes after a quiet time is read at once", 5 * ms, []came{{3 * ms, 1}, {20 * ms, 2}}, []came{{3 * ms, 1}, {20 * ms, 2}}},
		{"what follows is read together", 5 * ms, []came{{3 * ms, 1}, {4 * ms, 2}, {6 * ms, 3}, {9 * ms, 4}}, []came{{3 * ms, 1}, {8 * ms, 5}, {13 * ms, 4}}},
		{"more than the buffer holds is read on", 5 * ms, []came{{3 * ms, 1}, {4 * ms, 25}}, []came{{3 * ms, 1}, {8 * ms, 10}, {8 * ms, 10}, {8 * ms, 5}}},
		{"all is read at once", 0, []came{{3 * ms, 1}, {4 * ms, 2}, {6 * ms, 3}}, []came{{3 * ms, 1}, {4 * ms, 2}, {6 * ms, 3}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				p := &paced{Conn: &source{start: start, came: tt.came}, bus: &Bus{}, every: tt.every, alarm: sleeper{}}
				var got []came
				for buf := make([]byte, 10); ; {
					n, err := p.Read(buf)
					if err != nil {
						break
					}
					got = append(got, came{time.Since(start), n})
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("got %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// TestRunIsToldOfWhatWaits: once for all that was read, and not for nothing.
func TestRunIsToldOfWhatWaits(t *testing.T) {
	b := &Bus{queue: make(chan *nats.Msg, 3), arrived: make(chan struct{}, 1)}
	p := &paced{Conn: &source{}, bus: b}
	for _, waiting := range []int{0, 3} {
		for range waiting {
			b.queue <- new(nats.Msg)
		}
		for range 2 {
			_, _ = p.Read(nil)
		}
		if got, want := len(b.arrived), min(1, waiting); got != want {
			t.Errorf("%d messages wait, told %d times, want %d", waiting, got, want)
		}
	}
}
