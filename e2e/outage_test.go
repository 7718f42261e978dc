package e2e_test

import (
	"syscall"
	"testing"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// few are symbols that the simulator keeps busy, all of them, even at a modest rate.
var few = []string{"BRK.B", "BTC/USD", "NA", "ÖL>*"}

const fewStreams = 4 * market.Channels

func startFewFeed(t *testing.T, n *natsServer, more ...string) *feeder {
	t.Helper()
	return startFeed(t, n, append(more, "--symbols", "BRK.B,BTC/USD,NA,ÖL>*", "--rate", "400")...)
}

// followFew subscribes in both encodings, by wildcard and by name.
func followFew(n *streamer) []*subscriber {
	n.t.Helper()
	n.awaitSymbols(len(few))
	return []*subscriber{
		n.follow(codec.JSON, market.AllChannels(), market.Wildcard),
		n.follow(codec.MsgPack, market.AllChannels(), few...),
	}
}

func TestSubscribersStayWhenNATSRestarts(t *testing.T) {
	nats := startNATS(t)
	feed := startFewFeed(t, nats)
	node := startStreamer(t, nats)
	subs := followFew(node)
	for _, s := range subs {
		s.awaitEach("ticks on every stream", fewStreams, func(b *book) bool { return len(b.ticks) > 0 })
	}

	nats.stop()
	await(t, "the node to see that NATS is gone", func() bool { return metric(t, node.admin, "tickcast_upstream_connected") == 0 })
	if status := node.readyz(); status != 200 {
		t.Errorf("/readyz is %d within the grace time", status)
	}
	await(t, "ticks to be lost", func() bool { return metric(t, feed.admin, "tickcast_feed_lost_total") > 100 })
	for _, s := range subs {
		if _, ok := s.ask(codec.Request{Op: codec.OpPing}).(codec.Pong); !ok {
			t.Error("no pong while NATS is away")
		}
	}

	marks := make(map[*subscriber]map[*book]int)
	for _, s := range subs {
		marks[s] = s.mark()
	}
	nats.start()
	for _, s := range subs {
		s.awaitMore("ticks on every stream again", marks[s])
		s.await("a gap over the trades that were lost", func() bool {
			for stream, b := range s.books {
				if stream.Channel == market.ChannelTrade && len(b.gaps) > 0 {
					return true
				}
			}
			return false
		})
	}
	if status := node.readyz(); status != 200 {
		t.Errorf("/readyz is %d with NATS back", status)
	}

	feed.stop()
	late := startStreamer(t, nats)
	late.awaitSymbols(len(few))
	truth := late.snapshot(few)
	if len(truth) != fewStreams {
		t.Errorf("NATS has the last event of %d streams, want %d", len(truth), fewStreams)
	}
	for _, s := range subs {
		s.reaches(truth)
		for _, g := range s.gaps() {
			if g.Reason != codec.ReasonUpstream {
				t.Errorf("%+v, want reason upstream", g)
			}
		}
	}
}

func TestNumbersGoOnWhenTheFeedRestarts(t *testing.T) {
	nats := startNATS(t)
	feed := startFewFeed(t, nats)
	subs := followFew(startStreamer(t, nats))
	for restarts, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		for _, s := range subs {
			s.awaitEach("ticks on every stream", fewStreams, func(b *book) bool { return len(b.ticks) > 0 })
		}
		feed.signal(end)
		feed.wait()
		feed = startFewFeed(t, nats)
		for _, s := range subs {
			s.wasTold(restarts + 1)
			s.awaitMore("ticks after the restart", s.mark())
		}
	}
}

func TestNumbersAreResetOnceWhenAllMemoryIsLost(t *testing.T) {
	for _, tt := range []struct {
		name      string
		nodeFirst bool
	}{
		{"the node is back at NATS before the feed", true},
		{"whoever is first", false}, // mostly the feed, since nodes spread their return
	} {
		t.Run(tt.name, func(t *testing.T) {
			nats := startNATS(t)
			feed := startFewFeed(t, nats)
			node := startStreamer(t, nats)
			subs := followFew(node)
			for _, s := range subs {
				s.awaitEach("ticks on every stream", fewStreams, func(b *book) bool { return len(b.ticks) > 0 })
			}
			feed.stop()
			nats.stop()
			nats.start()
			if tt.nodeFirst {
				await(t, "the node to be back", func() bool { return metric(t, node.admin, "tickcast_upstream_connected") == 1 })
			}
			feed = startFewFeed(t, nats)
			for _, s := range subs {
				s.awaitEach("ticks behind the gap", fewStreams, func(b *book) bool {
					_, last := streamOf(b.ticks[len(b.ticks)-1])
					return len(b.gaps) > 0 && last > b.gaps[0].To
				})
				checkResets(t, s)
			}
			feed.stop()
			truth := node.snapshot(few)
			for _, s := range subs {
				s.reaches(truth)
			}
		})
	}
}

// checkResets expects one reset on every stream, and beside it no gap but a small one that
// a node which came late has missed.
func checkResets(t *testing.T, s *subscriber) {
	t.Helper()
	resets := 0
	for _, g := range s.gaps() {
		switch {
		case g.Reason == codec.ReasonReset:
			resets++
		case g.To-g.From > lateMax:
			t.Errorf("%+v: numbers that were never used are no loss", g)
		}
	}
	if resets != fewStreams {
		t.Errorf("%d resets, want one on each of %d streams", resets, fewStreams)
	}
}

// lateMax is more ticks than the feed publishes on one stream while a node comes back. The
// clock, which numbers begin at, counts as many in 10 ms.
const lateMax = 10_000
