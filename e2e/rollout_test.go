package e2e_test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// A viewer is a subscriber as a client library has it: where a node says goodbye it comes
// back when it was told to, anywhere, and says how far it got.
type viewer struct {
	*subscriber
	backAt time.Time // zero while connected
	moves  int
}

func (v *viewer) gone() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.closed
}

// tend reconnects those whose time has come.
func tend(t *testing.T, front *streamer, viewers []*viewer) {
	t.Helper()
	for _, v := range viewers {
		v.mu.Lock()
		closed, code := v.closed, v.code
		bye, _ := v.others[len(v.others)-1].(codec.Bye)
		v.mu.Unlock()
		switch {
		case !closed:
		case v.backAt.IsZero():
			if bye.Code != 1012 || bye.RetryAfter <= 0 || code != 1012 {
				t.Fatalf("goodbye %+v, close code %d; want 1012 and when to come back", bye, code)
			}
			v.backAt = time.Now().Add(bye.RetryAfter)
		case time.Now().After(v.backAt):
			v.resume(front)
		}
	}
}

func (v *viewer) resume(front *streamer) {
	old := v.subscriber
	v.subscriber, v.backAt = front.dial(old.enc), time.Time{}
	v.moves++
	v.goOn(old, market.AllChannels(), few)
}

// The rolling update of the Helm chart, by real processes: a new node first; when it has been
// ready for a while an old one is taken out of the endpoints, waits (preStop), is told to stop, drains and ends.
func TestARollingUpdateLosesNothing(t *testing.T) {
	// The chart's 5 s and 10 s, against a cluster's second.
	const preStop, minReady = 3 * probeEvery, 6 * probeEvery
	nats := startNATS(t)
	feed := startFewFeed(t, nats)
	cluster := startService(t)
	front := cluster.front()
	var old []*pod
	for range 3 {
		old = append(old, cluster.add(startStreamer(t, nats, "--drain", "2s")))
	}
	for _, p := range old {
		p.awaitSymbols(len(few))
		await(t, "the first nodes", func() bool { return cluster.isReady(p) })
	}
	var viewers []*viewer
	for i := range 12 {
		viewers = append(viewers, &viewer{subscriber: front.follow(codec.Encoding(i%2), market.AllChannels(), few...)})
	}
	for _, v := range viewers {
		v.flows(100)
	}

	meanwhile := func(what string, ok func() bool) {
		t.Helper()
		await(t, what, func() bool { tend(t, front, viewers); return ok() })
	}
	for _, p := range old {
		fresh := cluster.add(startStreamer(t, nats, "--drain", "2s"))
		meanwhile("the new node", func() bool { return cluster.isReady(fresh) })
		available := time.Now().Add(minReady)
		meanwhile("minReadySeconds", func() bool { return time.Now().After(available) })
		cluster.leave(p)
		until := time.Now().Add(preStop)
		meanwhile("preStop", func() bool { return time.Now().After(until) })
		p.signal(syscall.SIGTERM)
		meanwhile("the old node to end", func() bool {
			select {
			case <-p.exited:
				return true
			default:
				return false
			}
		})
		if code := p.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	meanwhile("everybody to be back", func() bool {
		return !slices.ContainsFunc(viewers, func(v *viewer) bool { return v.gone() })
	})

	moved := 0
	for _, v := range viewers {
		v.flows(100)
		moved += v.moves
	}
	if moved < len(viewers) {
		t.Errorf("%d moves of %d subscribers, none of whom can have stayed", moved, len(viewers))
	}
	feed.stop()
	late := startStreamer(t, nats)
	late.awaitSymbols(len(few))
	truth := late.snapshot(few)
	for _, v := range viewers {
		v.reaches(truth)
		if gaps := v.gaps(); len(gaps) > 0 {
			t.Errorf("gaps after %d moves: %+v", v.moves, gaps)
		}
	}
}
