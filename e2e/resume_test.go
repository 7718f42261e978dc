package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// moveTo goes on with the subscriber's books at another node, as of now: a client whose node
// is gone, and who says how far it got.
func (s *subscriber) moveTo(n *streamer, channels []market.Channel, symbols ...string) *subscriber {
	n.t.Helper()
	_ = s.ws.NetConn().Close()
	s.await("the old connection to end", func() bool { return s.closed })
	next := n.dial(s.enc)
	next.goOn(s, channels, symbols)
	return next
}

// goOn takes over the books of a subscriber that has ended, and asks for what came since.
func (s *subscriber) goOn(ended *subscriber, channels []market.Channel, symbols []string) {
	s.t.Helper()
	after := make(map[market.Stream]int64)
	s.mu.Lock()
	s.books = ended.books
	for stream, b := range s.books {
		if b.last > 0 {
			after[stream] = b.last
		} else {
			delete(s.books, stream) // it begins with a snapshot again
		}
	}
	s.mu.Unlock()
	answer := s.ask(codec.Request{Op: codec.OpSubscribe, Channels: channels, Symbols: symbols, After: after})
	if ack, ok := answer.(codec.Ack); !ok || len(ack.Rejected) > 0 {
		s.t.Fatalf("resume: %+v", answer)
	}
}

// tradeGaps are those of streams of which nothing may be missing.
func (s *subscriber) tradeGaps() (all []codec.Gap) {
	for _, g := range s.gaps() {
		if g.Stream.Channel == market.ChannelTrade {
			all = append(all, g)
		}
	}
	return all
}

// truthOf is what a node that starts now finds stored, after the feed has stopped.
func truthOf(t *testing.T, nats *natsServer) map[market.Stream]codec.Event {
	t.Helper()
	late := startStreamer(t, nats)
	late.awaitSymbols(len(few))
	return late.snapshot(few)
}

func TestResumeAfterAKillLosesNothing(t *testing.T) {
	nats := startNATS(t)
	feed := startFewFeed(t, nats)
	node := startStreamer(t, nats)
	subs := followFew(node)
	for range 3 {
		for _, s := range subs {
			s.flows(200)
		}
		node.signal(syscall.SIGKILL)
		node.wait()
		node = startStreamer(t, nats)
		node.awaitSymbols(len(few))
		for i, s := range subs {
			symbols := few
			if i == 0 {
				symbols = []string{market.Wildcard}
			}
			subs[i] = s.moveTo(node, market.AllChannels(), symbols...)
		}
	}
	for _, s := range subs {
		s.flows(200)
	}
	feed.stop()
	truth := truthOf(t, nats)
	for _, s := range subs {
		s.reaches(truth)
		if gaps := s.gaps(); len(gaps) > 0 {
			t.Errorf("gaps though all of it is stored: %+v", gaps)
		}
	}
}

func TestANodeThatWasCutOffFillsTheHoles(t *testing.T) {
	nats := startNATS(t)
	feed := startFewFeed(t, nats)
	cable, url := startRelay(t, nats)
	node := serveStreamer(t, "--nats", url)
	subs := followFew(node)
	for _, s := range subs {
		s.flows(100)
	}
	for round := range 3 {
		cable.set(true)
		before := metric(t, feed.admin, "tickcast_feed_events_total")
		await(t, "ticks that the node does not get", func() bool { return metric(t, feed.admin, "tickcast_feed_events_total") > before+300 })
		if round == 1 {
			await(t, "the grace time to end", func() bool { return node.readyz() == 503 })
		}
		cable.set(false)
		for _, s := range subs {
			s.awaitMore("ticks on every stream again", s.mark())
		}
		if status := node.readyz(); status != 200 {
			t.Errorf("/readyz is %d with NATS back", status)
		}
	}
	feed.stop()
	truth := truthOf(t, nats)
	for _, s := range subs {
		s.reaches(truth)
		if gaps := s.tradeGaps(); len(gaps) > 0 {
			t.Errorf("gaps though all of it is stored: %+v", gaps)
		}
	}
	if filled := metric(t, node.admin, "tickcast_upstream_filled_total"); filled < 50 {
		t.Errorf("%v trades filled in", filled)
	}
	if n := metric(t, node.admin, "tickcast_upstream_reconnects_total"); n != 3 {
		t.Errorf("%v reconnects, want 3", n)
	}
}

// Whatever fails upstream, in whatever order: the books say what came and what is missing,
// and each number once. Every subscriber enters every event, and fails the test if not.
func TestTheBooksBalanceWhateverFailsUpstream(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	nats := startNATS(t)
	feed := startFewFeed(t, nats)
	cable, url := startRelay(t, nats)
	nodes := []*streamer{serveStreamer(t, "--nats", url), startStreamer(t, nats)}
	subs := append(followFew(nodes[0]), followFew(nodes[1])...)
	for _, s := range subs {
		s.awaitEach("ticks on every stream", fewStreams, func(b *book) bool { return len(b.ticks) > 0 })
	}
	for i := range 6 {
		pause := time.Duration(rnd.IntN(1500)) * time.Millisecond
		what := rnd.IntN(4)
		t.Logf("%d: fault %d for %v", i, what, pause)
		switch what {
		case 0:
			nats.stop()
			time.Sleep(pause)
			nats.start()
		case 1:
			cable.set(true)
			time.Sleep(pause)
			cable.set(false)
		case 2:
			feed.signal(syscall.SIGKILL)
			feed.wait()
			time.Sleep(pause)
			feed = startFewFeed(t, nats)
		case 3:
			node := nodes[1]
			nodes[1] = startStreamer(t, nats)
			nodes[1].awaitSymbols(len(few))
			for i, s := range subs[2:] {
				symbols := few
				if i == 0 {
					symbols = []string{market.Wildcard}
				}
				subs[2+i] = s.moveTo(nodes[1], market.AllChannels(), symbols...)
			}
			node.stop()
		}
		for _, s := range subs {
			s.awaitMore(fmt.Sprintf("ticks on every stream after fault %d", what), s.mark())
		}
	}
	feed.stop()
	truth := truthOf(t, nats)
	for _, s := range subs {
		s.reaches(truth)
	}
}
