package e2e_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// takesOver waits until the feed publishes.
func (f *feeder) takesOver() {
	f.t.Helper()
	await(f.t, "the standby to take over", func() bool { return metric(f.t, f.admin, "tickcast_feed_active") == 1 })
}

// A feed keeps its lease for 1.2 s without a renewal. Where this machine keeps one from running for
// longer, another rightly takes over that no test asked to: then all is tried again.
func TestAStandbyFeedTakesOver(t *testing.T) {
	for range 5 {
		heldUp := false
		if !t.Run("once", func(t *testing.T) { heldUp = !standbysTakeOver(t) }) || !heldUp {
			return
		}
		t.Log("a feed that nobody stopped lost its lease")
	}
	t.Fatal("in each of five tries a feed that nobody stopped lost its lease")
}

// standbysTakeOver returns false if a feed was held up, and nothing can be said.
func standbysTakeOver(t *testing.T) bool {
	nats := startNATS(t)
	args := []string{"--lease", "sim"}
	active := startFewFeed(t, nats, args...)
	active.takesOver()
	subs := followFew(startStreamer(t, nats))
	for _, s := range subs {
		s.awaitEach("ticks on every stream", fewStreams, func(b *book) bool { return len(b.ticks) > 0 })
	}
	for change, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGSTOP} {
		standby := startFewFeed(t, nats, args...)
		for _, s := range subs {
			s.awaitMore("ticks of the active feed", s.mark())
		}
		ahead := metric(t, standby.admin, "tickcast_feed_events_total")
		if active.lostLease() {
			return false
		}
		if ahead != 0 {
			t.Errorf("%v ticks of a feed that stands by", ahead)
		}
		began := time.Now()
		active.signal(end)
		standby.takesOver()
		t.Logf("taken over %v after %v", time.Since(began).Round(time.Millisecond), end)
		for _, s := range subs {
			faults := s.wasTold(change + 1)
			if active.lostLease() || standby.lostLease() {
				return false
			}
			for _, fault := range faults {
				t.Error(fault)
			}
			s.awaitMore("ticks of the standby", s.mark())
		}
		if end == syscall.SIGSTOP { // it wakes up, believes itself active, and must not disturb
			active.signal(syscall.SIGCONT)
			await(t, "the old feed to stand by", func() bool { return metric(t, active.admin, "tickcast_feed_active") == 0 })
			for _, s := range subs {
				s.awaitMore("ticks after that", s.mark())
			}
		}
		active = standby
	}
	return true
}

func (f *feeder) lostLease() bool { return strings.Contains(f.stderr.String(), "the lease is lost") }

// wasTold returns what is wrong with what the subscriber, who had trades of each stream before, knows of
// so many changes of the feed: one number for what may be missing in each stream of trades, and
// nothing else.
func (s *subscriber) wasTold(changes int) (faults []string) {
	s.t.Helper()
	s.await("the word of a change in each stream of trades", func() bool {
		for stream, b := range s.books {
			if stream.Channel == market.ChannelTrade && len(b.gaps) < changes {
				return false
			}
		}
		return true
	})
	told := make(map[market.Stream]int)
	gaps := s.gaps()
	for _, g := range gaps {
		if told[g.Stream]++; g.Stream.Channel != market.ChannelTrade || g.Reason != codec.ReasonUpstream || g.From != g.To {
			faults = append(faults, fmt.Sprintf("%+v, though the numbers go on", g))
		}
	}
	for stream, n := range told {
		if n != changes {
			faults = append(faults, fmt.Sprintf("%v was told %d times of %d changes: %+v", stream, n, changes, gaps))
		}
	}
	if len(told) != len(few) {
		faults = append(faults, fmt.Sprintf("%d of %d streams of trades were told of a change", len(told), len(few)))
	}
	return faults
}

// Without JetStream there is nothing to look a symbol up in: what is announced is known.
func TestANodeWithoutAStoreLearnsWhatIsAnnounced(t *testing.T) {
	nats := &natsServer{t: t, port: "-1", plain: true}
	nats.start()
	node := startStreamer(t, nats)
	feed := startFewFeed(t, nats) // announces again every minute, as pkg/feed's tests show
	node.awaitSymbols(len(few))
	s := node.follow(codec.MsgPack, []market.Channel{market.ChannelTrade}, few...)
	s.flows(100)
	feed.signal(syscall.SIGKILL)
	feed.wait()
	startFewFeed(t, nats)
	// Each stream's numbers begin at the clock: a gap, and the next, without a wait for a store.
	s.awaitEach("trades behind a reset", len(few), func(b *book) bool { return len(b.gaps) > 0 && b.last > b.gaps[0].To })
	for _, g := range s.gaps() {
		if g.Reason != codec.ReasonReset {
			t.Errorf("%+v, want a reset", g)
		}
	}
}
