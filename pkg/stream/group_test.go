package stream

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
)

// A stopwatch is a wire that compares the time of each message with when its events were published.
type stopwatch struct {
	recorder
	published *[]time.Time // by seq, from 1 on
	events    int
	last      time.Time
	longest   time.Duration // that an event took
	shortest  time.Duration // between two messages
	sentAt    map[time.Time]int
}

func (w *stopwatch) Send(m *message) bool {
	now := time.Now()
	if w.events > 0 {
		w.shortest = min(w.shortest, now.Sub(w.last))
	}
	w.longest = max(w.longest, now.Sub((*w.published)[w.events]))
	w.last, w.events = now, w.events+m.events
	w.sentAt[now]++
	return true
}

// TestGroupsOfSessionsAreServedApart states what a thousand subscribers get whose node reads when
// ReadBy says: every event, a message a window, and nothing later than a window; and that few of
// them are written to at once.
func TestGroupsOfSessionsAreServedApart(t *testing.T) {
	for _, tt := range []struct {
		sessions, atOnce, readsAWindow int
	}{
		{groupFull, groupFull, 1},
		{groupFull + 1, groupFull, 2},
		{1000, groupFull, 4},
		{8 * groupFull, 2 * groupFull, 4},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHandShard(t, Config{})
			n := &Node{cfg: *h.cfg, clock: h.clock, shards: []*shard{h.shard}}
			wake, stop := make(chan struct{}, 1), make(chan struct{})
			h.inbox.wake = func() {
				select {
				case wake <- struct{}{}:
				default:
				}
			}
			window := h.cfg.BatchEvery
			var published []time.Time
			sentAt := map[time.Time]int{}
			var all []*stopwatch
			for range tt.sessions {
				w := &stopwatch{published: &published, shortest: time.Hour, sentAt: sentAt}
				w.s = h.subscriber(codec.MsgPack, backpressure.DropOldest, "A").s
				w.s.wire = w
				all = append(all, w)
			}
			time.Sleep(time.Duration(h.now)) // the steps of those who came
			go h.run(wake, stop)

			feed := time.NewTicker(window / 50)
			end := time.Now().Add(50 * window)
			settled := end.Add(-20 * window)
			reads, waiting, next := 0, 0, time.Time{}
			for now := range feed.C {
				if now.After(end) {
					break
				}
				published, waiting = append(published, now), waiting+1
				if now.Before(next) {
					continue
				}
				if h.publish("A", waiting); now.After(settled) {
					reads++
				}
				waiting, next = 0, now.Add(window)
				synctest.Wait()
				if by := n.ReadBy(); by.Before(next) {
					next = by
				}
			}
			feed.Stop()
			if waiting > 0 {
				h.publish("A", waiting)
			}
			time.Sleep(2 * window)
			close(stop)
			synctest.Wait()

			for i, w := range all {
				if w.events != len(published) {
					t.Fatalf("%d of %d: session %d got %d events of %d", i, tt.sessions, i, w.events, len(published))
				}
				if w.longest > window+window/lateShare {
					t.Errorf("%d of %d: an event took %v", i, tt.sessions, w.longest)
				}
				if w.shortest < window*7/8 {
					t.Errorf("%d of %d: two messages within %v", i, tt.sessions, w.shortest)
				}
			}
			for at, sessions := range sentAt {
				if at.After(settled) && at.Before(end) && sessions > tt.atOnce {
					t.Errorf("%d of %d sessions were written to at once", sessions, tt.sessions)
				}
			}
			if got := float64(reads) / 20; got < float64(tt.readsAWindow)-0.2 || got > float64(tt.readsAWindow)+0.2 {
				t.Errorf("%d sessions: %.1f reads a window, want %d", tt.sessions, got, tt.readsAWindow)
			}
		})
	}
}

// TestReadByOfAQuietNode states that windows which nobody uses have nothing read for them.
func TestReadByOfAQuietNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandShard(t, Config{})
		n := &Node{cfg: *h.cfg, clock: h.clock, shards: []*shard{h.shard}}
		if at := n.ReadBy(); !at.IsZero() {
			t.Errorf("with nobody there: %v", at)
		}
		h.subscriber(codec.MsgPack, backpressure.DropOldest, "A")
		time.Sleep(time.Duration(h.now)) // the step of who came
		h.publish("A", 1)
		h.readClock()
		h.turn()
		if at := n.ReadBy(); at.Before(time.Now()) || at.After(time.Now().Add(h.cfg.BatchEvery)) {
			t.Errorf("after a flush: %v", time.Until(at))
		}
		time.Sleep(4 * h.cfg.BatchEvery)
		if at := n.ReadBy(); !at.IsZero() {
			t.Errorf("long after the last flush: %v", at)
		}
	})
}

// TestASessionOpensWhereThereIsRoom states that those who come fill the room of those who left.
func TestASessionOpensWhereThereIsRoom(t *testing.T) {
	h := newHandShard(t, Config{})
	for range groupFull + 10 {
		h.subscriber(codec.MsgPack, backpressure.DropOldest, "A")
	}
	if got := [2]int{h.groups[0].sessions, h.groups[1].sessions}; got != [2]int{groupFull, 10} {
		t.Fatalf("groups of %v", got)
	}
	h.shard.sessions[0].gone(closeAbnormal)
	if s := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A").s; s.group != &h.groups[0] {
		t.Errorf("opened in group %d", s.group.n)
	}
}
