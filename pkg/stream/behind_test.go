package stream_test

import (
	"testing"

	"github.com/tickcast/tickcast/pkg/bus"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

// A loop that cannot keep up fills its inbox, then the queue from NATS, and then messages are
// dropped there: memory has a bound, and a gap says what was lost.
func TestALoopThatIsBehindLosesOpenly(t *testing.T) {
	r := newRigOn(t, newBusWith(t, bus.Config{QueueMessages: 64}), stream.Config{Shards: 2})
	r.announce("A")
	c := r.dial(codec.MsgPack)
	c.begin(`"channels":["quote"],"symbols":["A"],"policy":"drop_oldest"`, 1)
	s := market.Stream{Channel: market.ChannelQuote, Symbol: "A"}
	seen := int64(0)

	release := r.node.Stall()
	defer release()
	publish := func() {
		var body []byte
		for len(body) < 30<<10 {
			r.seqs[s]++
			var err error
			if body, err = codec.AppendQuote(body, &market.Quote{Symbol: "A", Seq: r.seqs[s], Time: 1, BidPrice: 1, AskPrice: 2}); err != nil {
				t.Fatal(err)
			}
		}
		r.publish(s, body)
	}
	r.await("messages to be dropped", func() bool { publish(); return r.bus.Status().Dropped > 0 })
	if counter(t, r, "tickcast_upstream_held_total") == 0 {
		t.Error("dropped before the loop's inbox was full")
	}
	release()
	r.await("the hole to show", func() bool { r.quote("A"); return counter(t, r, "tickcast_upstream_lost_total") > 0 })

	upstream := false
	for last := r.seqs[s]; seen < last; {
		switch ev := c.next().(type) {
		case market.Quote:
			if ev.Seq != seen+1 {
				t.Fatalf("quote %d behind %d", ev.Seq, seen)
			}
			seen = ev.Seq
		case codec.Gap:
			if ev.From != seen+1 {
				t.Fatalf("a gap from %d behind %d", ev.From, seen)
			}
			seen = ev.To
			upstream = upstream || ev.Reason == codec.ReasonUpstream
		}
	}
	if !upstream {
		t.Error("no gap of reason upstream")
	}
}
