package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// A watch measures how late the trades of one subscriber are, and how long none comes.
type watch struct {
	late   *hdrhistogram.Histogram // µs from the venue's clock to the subscriber
	last   time.Time
	pause  time.Duration
	trades int
}

func newWatch() *watch {
	return &watch{late: hdrhistogram.New(1, int64(time.Hour/time.Microsecond), 2)}
}

func (w *watch) see(events []codec.Event) {
	now := time.Now()
	for _, ev := range events {
		tr, ok := ev.(market.Trade)
		if !ok {
			continue
		}
		if w.trades++; w.trades > 1 {
			w.pause = max(w.pause, now.Sub(w.last))
		}
		w.last = now
		_ = w.late.RecordValue(max(1, (now.UnixNano()-tr.Time)/1000)) // an hour at the most
	}
}

// tell logs what the watches of many saw, and begins anew. It judges nothing: the strangers and
// the subscribers share this machine with the node.
func tell(t *testing.T, when string, subs []*subscriber) {
	t.Helper()
	all, pause := newWatch(), time.Duration(0)
	for _, s := range subs {
		s.mu.Lock()
		if s.watch != nil {
			all.late.Merge(s.watch.late)
			pause = max(pause, s.watch.pause)
		}
		s.watch = newWatch()
		s.mu.Unlock()
	}
	if n := all.late.TotalCount(); n > 0 {
		at := func(q float64) time.Duration { return time.Duration(all.late.ValueAtQuantile(q)) * time.Microsecond }
		t.Logf("%s: %d trades, late by %v (median), %v (99%%), %v (worst); the longest pause was %v", when, n, at(50), at(99), at(100), pause)
	}
}

// A siege is how many strangers of each kind come at once, and how often. ATTACK=300x3 in the
// environment has more of both, and tries every way to serve.
type siege struct {
	perKind, waves int
	more           bool
}

func siegeOf(t *testing.T) siege {
	t.Helper()
	s := siege{perKind: 10, waves: 1}
	if v := os.Getenv("ATTACK"); v != "" {
		s.more = true
		if _, err := fmt.Sscanf(v, "%dx%d", &s.perKind, &s.waves); err != nil {
			t.Fatalf("ATTACK=%s: %v", v, err)
		}
	}
	return s
}

// Strangers come in crowds, break off, flood and send what is meant to break the node. Those who
// behave lose nothing by it, and are not sent away; the node stays healthy, keeps no memory to speak
// of, and ends everyone whom a bound is for.
func TestOthersAreServedUnderAttack(t *testing.T) {
	size := siegeOf(t)
	for _, tt := range []struct {
		engine string
		secure bool
		always bool
	}{{"epoll", true, true}, {"goroutine", false, true}, {"epoll", false, false}, {"goroutine", true, false}} {
		if !tt.always && !size.more {
			continue
		}
		t.Run(fmt.Sprintf("%s, TLS %v", tt.engine, tt.secure), func(t *testing.T) {
			keyFile := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(keyFile, secret, 0o600); err != nil {
				t.Fatal(err)
			}
			// What depends on how fast this machine is has room; what strangers wait for is short.
			args := []string{
				"--engine", tt.engine, "--auth", "jwt", "--jwt-key-file", keyFile, "--auth-timeout", "5s", "--header-timeout", "5s",
				"--slow-timeout", "30s", "--pending-bytes", "64MiB", "--max-connections-per-token", "20",
			}
			if tt.secure {
				args = append(args, newCertificate(t, "node", time.Now().Add(time.Hour)).options()...)
			}
			nats := startNATS(t)
			feed := startFeed(t, nats, "--symbols", strings.Join(few, ","), "--rate", "200")
			node := startStreamer(t, nats, args...)
			node.secure = tt.secure
			var honest []*subscriber
			for i := range 20 {
				node.token = sign(t, secret, fmt.Sprint("honest-", i), time.Hour)
				s := node.dial([]codec.Encoding{codec.MsgPack, codec.JSON}[i%2])
				await(t, "the symbols", func() bool {
					ack, ok := s.ask(codec.Request{Op: codec.OpSubscribe, Channels: market.AllChannels(), Symbols: few}).(codec.Ack)
					return ok && len(ack.Rejected) == 0
				})
				honest = append(honest, s)
			}
			flow := func() { // to all of them at the same time
				var since []map[*book]int
				for _, s := range honest {
					since = append(since, s.mark())
				}
				for i, s := range honest {
					s.awaitMore("a tick of each stream", since[i])
				}
			}
			flow()
			tell(t, "", honest)
			flow()
			tell(t, "before", honest)

			files, kept := node.descriptors(), node.resident()
			most := kept
			refused, failures := metric(t, node.admin, "tickcast_upgrades_refused_total"), metric(t, node.admin, "tickcast_auth_failures_total")
			for range size.waves {
				over := attack(t, node, size.perKind)
				await(t, "the strangers to be done", func() bool {
					if status, _ := get(t, node.admin, "/healthz"); status != 200 {
						t.Fatalf("/healthz is %d", status)
					}
					most = max(most, node.resident())
					select {
					case <-over:
						return true
					case <-time.After(50 * time.Millisecond):
						return false
					}
				})
			}
			tell(t, "under attack", honest)
			flow()
			tell(t, "afterwards", honest)

			for name, before := range map[string]float64{"tickcast_upgrades_refused_total": refused, "tickcast_auth_failures_total": failures} {
				if now := metric(t, node.admin, name); now == before {
					t.Errorf("%s is still %v: that was no attack", name, now)
				}
			}
			await(t, "the strangers to be gone", func() bool {
				return metric(t, node.admin, "tickcast_connections") == float64(len(honest)) && metric(t, node.admin, "tickcast_http_connections") == 0
			})
			await(t, "the descriptors to be given back", func() bool { return node.descriptors() <= files })
			t.Logf("resident memory: %d MiB before, %d at the most, %d in the end", kept>>20, most>>20, node.resident()>>20)
			if bound := int64(1 << 30); most > bound { // with the race detector's share
				t.Errorf("%d MiB are resident", most>>20)
			}

			feed.stop()
			truth := truthOf(t, nats)
			for _, s := range honest {
				s.reaches(truth)
				if gaps := s.gaps(); len(gaps) > 0 {
					t.Errorf("%d gaps, first %+v", len(gaps), gaps[0])
				}
				s.mu.Lock()
				if s.closed {
					t.Error("one who behaved was sent away")
				}
				s.mu.Unlock()
			}
			node.stop()
		})
	}
}

// descriptors counts what the process has open.
func (p *process) descriptors() int {
	p.t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(open)
}

// resident is the process's memory in bytes.
func (p *process) resident() int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
