package eventloop

import (
	"crypto/tls"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// startSlow is startLoop by a clock that only its Handler moves, by pass. end waits until the loop
// has stopped.
func startSlow(t *testing.T, h Handler) (l *Loop, pass func(time.Duration), end func()) {
	t.Helper()
	l, err := New(h, Config{Linger: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	var now int64 = 1
	l.clock = func() int64 { return now }
	ran := make(chan error, 1)
	go func() { ran <- l.Run() }()
	end = sync.OnceFunc(func() {
		l.Stop(0)
		if err := receive(t, ran); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(end)
	return l, func(d time.Duration) { now += int64(d) }, end
}

// However many ask, and whatever it costs to answer, a turn does no more of it than it has time
// for. What it leaves is done in the turns that follow, in order, and the end of a connection
// comes behind it.
func TestACrowdThatAsksIsAnsweredInShares(t *testing.T) {
	const peers, messages, perTurn = 30, 20, 4
	for _, version := range []uint16{0, tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(fmt.Sprintf("TLS %#x", version), func(t *testing.T) {
			var pass func(time.Duration)
			var inTurn, most, wrong int
			answered := make(map[*Conn]byte)
			ended := make(chan int, peers)
			l, pass, end := startSlow(t, &probe{
				message: func(c *Conn, _ bool, payload []byte) {
					pass(readFor / perTurn)
					if inTurn++; payload[0] != answered[c] {
						wrong++
					}
					answered[c]++
				},
				closed: func(c *Conn, code int, _ error) {
					if answered[c] != messages {
						wrong++
					}
					ended <- code
				},
				turn: func(int64) int64 {
					most, inTurn = max(most, inTurn), 0
					return 0
				},
			})
			for range peers {
				p := adopt(t, l, version, Adopted{})
				var all []byte
				for n := range messages {
					all = append(all, clientFrame(0x82, string([]byte{byte(n)}))...)
				}
				p.send(append(all, clientFrame(0x88, "\x03\xe8")...))
				if over, ok := p.Conn.(*tls.Conn); ok {
					_ = over.CloseWrite()
				}
			}
			for range peers {
				if code := receive(t, ended); code != 1000 {
					t.Errorf("ended with %d", code)
				}
			}
			end()
			if wrong > 0 {
				t.Errorf("%d were out of order or too few", wrong)
			}
			if most > perTurn {
				t.Errorf("%d in one turn, want %d at the most", most, perTurn)
			}
		})
	}
}

// A crowd is let in over several turns, so that those who are in do not wait for all of it. Some
// are in any case.
func TestACrowdIsAdoptedInShares(t *testing.T) {
	for _, tt := range []struct {
		costs   time.Duration
		perTurn int
	}{{readFor / 50, 50}, {2 * readFor, adoptMin}} {
		const crowd = 201
		var pass func(time.Duration)
		var opened, before, most int
		all := make(chan struct{})
		hold := make(chan struct{})
		l, pass, end := startSlow(t, &probe{
			open: func(*Conn) {
				<-hold
				opened++
				pass(tt.costs)
			},
			turn: func(int64) int64 {
				most = max(most, opened-before)
				if before != opened && opened == crowd {
					close(all)
				}
				before = opened
				return 0
			},
		})
		for range crowd {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(pair[1])
			l.Adopt(Adopted{Fd: pair[0]})
		}
		close(hold)
		receive(t, all)
		if end(); most != tt.perTurn {
			t.Errorf("%d in one turn, want %d", most, tt.perTurn)
		}
	}
}
