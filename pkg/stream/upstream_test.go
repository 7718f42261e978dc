package stream_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

func TestGapsUpstreamAreTold(t *testing.T) {
	bothEncodings(t, func(t *testing.T, enc codec.Encoding) {
		r := newRig(t, stream.Config{})
		r.announce("A")
		s := market.Stream{Channel: market.ChannelTrade, Symbol: "A"}
		r.trade("A")
		c := r.dial(enc)
		c.subscribe(`"channels":["trade"],"symbols":["A"]`)
		nextOf[codec.Snapshot](c)

		r.seqs[s] = 4 // 2 to 4 are lost on their way
		r.trade("A")
		if g := nextOf[codec.Gap](c); g.From != 2 || g.To != 4 || g.Reason != codec.ReasonUpstream || g.Stream != s {
			t.Errorf("got %+v", g)
		}
		if tr := nextOf[market.Trade](c); tr.Seq != 5 {
			t.Errorf("got %+v", tr)
		}
		// A feed publishes its last tick again after a reconnect: known numbers pass by.
		r.publish(s, appendTrade(t, nil, "A", 5))
		// One that cannot know the last number begins anew and says so.
		r.publish(s, appendTrade(t, codec.AppendGap(nil, s, 1, 999, codec.ReasonReset), "A", 1000))
		if g := nextOf[codec.Gap](c); g.From != 6 || g.To != 999 || g.Reason != codec.ReasonReset {
			t.Errorf("got %+v", g)
		}
		if tr := nextOf[market.Trade](c); tr.Seq != 1000 {
			t.Errorf("got %+v", tr)
		}
	})
}

func TestAfterNamesTheNextTrade(t *testing.T) {
	r := newRig(t, stream.Config{})
	r.announce("A")
	r.trades("A", 3)
	r.trades("A", 4) // the newest message: 4 to 7
	c := r.dial(codec.MsgPack)
	c.subscribe(`"channels":["trade"],"symbols":["A"],"after":{"trade":{"A":1}}`)
	next := int64(2)
	for next <= 7 {
		switch ev := c.next().(type) {
		case codec.Gap:
			if ev.From != next || ev.Reason != codec.ReasonHistory {
				t.Fatalf("got %+v, want from %d", ev, next)
			}
			next = ev.To + 1
		case market.Trade:
			if ev.Seq != next {
				t.Fatalf("got %+v, want %d", ev, next)
			}
			next++
		default:
			t.Fatalf("got %#v", ev)
		}
	}
	d := r.dial(codec.MsgPack)
	d.subscribe(`"channels":["trade"],"symbols":["A"],"after":{"trade":{"A":7}}`)
	d.quiet("nothing came after the newest")
	r.trade("A")
	if tr := nextOf[market.Trade](d); tr.Seq != 8 {
		t.Errorf("got %+v", tr)
	}
}

func TestANodeThatStartsLaterKnowsTheLastValues(t *testing.T) {
	b := newBus(t)
	first := newRigOn(t, b, stream.Config{Name: "first"})
	first.announce("A")
	first.trades("A", 5)
	first.quote("A")
	second := newRigBeside(t, b, stream.Config{Name: "second"}, "A")
	var got []string
	for _, r := range []*rig{first, second} {
		c := r.dial(codec.JSON)
		c.subscribe(`"channels":["trade","quote","bar"],"symbols":["A"]`)
		all := map[string]any{}
		for range 3 {
			s := nextOf[codec.Snapshot](c)
			all[s.Stream.String()] = s.Event
		}
		got = append(got, fmt.Sprint(all))
		got = append(got, r.get("/v1/snapshot?symbols=A,NOPE&channels=trade,quote,bar"))
	}
	if got[0] != got[2] || got[1] != got[3] {
		t.Errorf("nodes differ:\n%s", strings.Join(got, "\n"))
	}
	var snap [][]any
	if err := json.Unmarshal([]byte(got[1]), &snap); err != nil || len(snap) != 2 || snap[0][0] != "t" || snap[1][0] != "q" {
		t.Errorf("/v1/snapshot: %s", got[1])
	}
}

// A feed that takes over cannot know what came between the last trade of the feed before and its
// own first: one number stands for that, and the message says so. Everybody is told, whenever he
// comes, and nobody looks for it.
func TestNumbersThatNoTradeHas(t *testing.T) {
	bothEncodings(t, func(t *testing.T, enc codec.Encoding) {
		b := newBus(t)
		r := newRigOn(t, b, stream.Config{Name: "first"})
		r.announce("A")
		s := market.Stream{Channel: market.ChannelTrade, Symbol: "A"}
		r.trades("A", 2)
		live := r.dial(enc)
		live.begin(`"channels":["trade"],"symbols":["A"]`, 1)
		r.publish(s, appendTrade(t, codec.AppendGap(nil, s, 3, 3, codec.ReasonUpstream), "A", 4))
		told := func(who string, c *client) {
			t.Helper()
			if g, ok := c.next().(codec.Gap); !ok || g.From != 3 || g.To != 3 || g.Reason != codec.ReasonUpstream || g.Stream != s {
				t.Errorf("%s got %+v", who, g)
			}
			if tr := nextOf[market.Trade](c); tr.Seq != 4 {
				t.Errorf("%s got %+v", who, tr)
			}
		}
		told("who was there", live)
		if n := counter(t, r, "tickcast_history_searches_total"); n != 0 {
			t.Errorf("%v searches for what no feed has published", n)
		}
		for _, at := range []*rig{r, newRigBeside(t, b, stream.Config{Name: "second"}, "A")} {
			c := at.dial(enc)
			c.subscribe(`"channels":["trade"],"symbols":["A"],"after":{"trade":{"A":2}}`)
			told("who resumes", c)
			c = at.dial(enc)
			c.subscribe(`"channels":["trade"],"symbols":["A"],"after":{"trade":{"A":1}}`)
			if tr := nextOf[market.Trade](c); tr.Seq != 2 {
				t.Errorf("got %+v", tr)
			}
			told("who resumes from before", c)
		}

		r.seqs[s] = 4 // 5 is lost on its way, and 6 is no trade's
		r.publish(s, appendTrade(t, codec.AppendGap(nil, s, 6, 6, codec.ReasonUpstream), "A", 7))
		if g := nextOf[codec.Gap](live); g.From != 5 || g.To != 6 || g.Reason != codec.ReasonUpstream {
			t.Errorf("got %+v", g)
		}
		if tr := nextOf[market.Trade](live); tr.Seq != 7 {
			t.Errorf("got %+v", tr)
		}
		if counter(t, r, "tickcast_history_searches_total") == 0 {
			t.Error("no search for a trade that was published")
		}
	})
}
