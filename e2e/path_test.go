package e2e_test

import (
	"fmt"
	"maps"
	"reflect"
	"testing"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// patient lets subscribers be slow: those of these tests share two cores with all else.
var patient = []string{"--slow-timeout", "60s", "--pending-bytes", "64MiB"}

func TestEveryTickReachesEverySubscriber(t *testing.T) {
	nats := startNATS(t)
	feed := startFeed(t, nats, "--rate", "2000")
	nodes := []*streamer{startStreamer(t, nats, patient...), startStreamer(t, nats, patient...)}
	for _, n := range nodes {
		n.awaitSymbols(100)
	}
	symbols := nodes[0].symbols()

	var subs []*subscriber
	for i := range 20 {
		n, enc := nodes[i%2], codec.Encoding(i/2%2)
		if i < 4 {
			subs = append(subs, n.follow(enc, market.AllChannels(), market.Wildcard))
		} else {
			subs = append(subs, n.follow(enc, market.AllChannels(), symbols[i:i+20]...))
		}
	}
	for _, s := range subs {
		s.flows(200)
	}
	feed.stop()

	// A node that starts now knows only what was stored: the truth that all must reach.
	late := startStreamer(t, nats, patient...)
	late.awaitSymbols(100)
	truth := late.snapshot(symbols)
	if len(truth) < 100 {
		t.Errorf("only %d streams have an event", len(truth))
	}
	for i, s := range subs {
		s.reaches(truth)
		if got, want := len(s.snapshots()), 3*len(symbols); i < 4 && got != want {
			t.Errorf("a wildcard began with %d streams, want %d", got, want)
		}
		if gaps := s.gaps(); len(gaps) > 0 {
			t.Errorf("gaps where nothing was missed: %v", gaps)
		}
	}

	for i, n := range append(nodes, late) {
		if got := n.snapshot(symbols); !reflect.DeepEqual(got, truth) {
			t.Errorf("/v1/snapshot of node %d differs from the one that started late: %s", i, difference(got, truth))
		}
		for _, enc := range []codec.Encoding{codec.MsgPack, codec.JSON} {
			s := n.follow(enc, market.AllChannels(), market.Wildcard)
			s.awaitEach("a snapshot of every stream", 3*len(symbols), func(*book) bool { return true })
			got := s.snapshots()
			maps.DeleteFunc(got, func(_ market.Stream, ev codec.Event) bool { return ev == nil })
			if !reflect.DeepEqual(got, truth) {
				t.Errorf("%s snapshots of node %d: %s", enc, i, difference(got, truth))
			}
		}
	}
}

func TestAWildcardTakesNothingFromThoseWhoNamedAStream(t *testing.T) {
	nats := startNATS(t)
	startFeed(t, nats, "--symbols", "BRK.B,BTC/USD,NA,ÖL>*", "--rate", "4000")
	for range 5 { // each node turns from four subscriptions to one, once
		node := startStreamer(t, nats, patient...)
		node.awaitSymbols(len(few))
		named := node.follow(codec.MsgPack, market.AllChannels(), few...)
		named.flows(50)
		all := node.follow(codec.MsgPack, market.AllChannels(), market.Wildcard)
		for _, s := range []*subscriber{named, all} {
			s.flows(200)
			if gaps := s.gaps(); len(gaps) > 0 {
				t.Errorf("gaps where nothing was missed: %+v", gaps)
			}
		}
	}
}

// difference names one stream in which two sets of last events differ.
func difference(got, want map[market.Stream]codec.Event) string {
	for stream, ev := range want {
		if got[stream] != ev {
			return fmt.Sprintf("%v: got %+v, want %+v", stream, got[stream], ev)
		}
	}
	return fmt.Sprintf("%d streams, want %d", len(got), len(want))
}
