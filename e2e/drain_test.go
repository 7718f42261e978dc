package e2e_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

func TestAStoppingNodeSendsItsSubscribersAway(t *testing.T) {
	nats := startNATS(t)
	feed := startFewFeed(t, nats)
	stays := startStreamer(t, nats)
	others := followFew(stays)
	for _, tt := range []struct {
		name string
		sig  os.Signal
	}{{"SIGTERM", syscall.SIGTERM}, {"SIGINT", syscall.SIGINT}} {
		t.Run(tt.name, func(t *testing.T) {
			node := startStreamer(t, nats, "--drain", "1s")
			var subs []*subscriber
			for range 3 {
				subs = append(subs, followFew(node)...)
			}
			stuck, _ := node.dialHalted(codec.MsgPack) // a subscriber that does not read holds nobody up
			stuck.send(codec.Request{Op: codec.OpSubscribe, Channels: market.AllChannels(), Symbols: []string{market.Wildcard}})
			for _, s := range subs {
				s.flows(100)
			}

			node.signal(tt.sig)
			for _, s := range subs {
				s.await("the end of the connection", func() bool { return s.closed })
				bye, ok := s.others[len(s.others)-1].(codec.Bye)
				if !ok || bye.Code != 1012 || bye.RetryAfter <= 0 || s.code != 1012 {
					t.Errorf("goodbye %+v, close code %d; want 1012 and when to come back", s.others[len(s.others)-1], s.code)
				}
				if gaps := s.gaps(); len(gaps) > 0 {
					t.Errorf("gaps: %+v", gaps)
				}
			}
			if code := node.wait(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			for _, s := range others {
				s.flows(100)
			}
		})
	}
	feed.stop()
	truth := stays.snapshot(few)
	for _, s := range others {
		s.reaches(truth)
		if gaps := s.gaps(); len(gaps) > 0 {
			t.Errorf("gaps at the node that stays: %+v", gaps)
		}
	}
}
