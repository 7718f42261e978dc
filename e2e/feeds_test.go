package e2e_test

import (
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

func TestAStandbyFeedTakesOver(t *testing.T) {
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
		if n := metric(t, standby.admin, "tickcast_feed_events_total"); n != 0 {
			t.Errorf("%v ticks of a feed that stands by", n)
		}
		began := time.Now()
		active.signal(end)
		standby.takesOver()
		t.Logf("taken over %v after %v", time.Since(began).Round(time.Millisecond), end)
		for _, s := range subs {
			s.wasTold(change + 1)
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
}

// wasTold wants the subscriber, who had trades of each stream before, to know of so many changes of the
// feed: by one number for what may be missing in each stream of trades, and by nothing else.
func (s *subscriber) wasTold(changes int) {
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
			s.t.Errorf("%+v, though the numbers go on", g)
		}
	}
	for stream, n := range told {
		if n != changes {
			s.t.Errorf("%v was told %d times of %d changes: %+v", stream, n, changes, gaps)
		}
	}
	if len(told) != len(few) {
		s.t.Errorf("%d of %d streams of trades were told of a change", len(told), len(few))
	}
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
