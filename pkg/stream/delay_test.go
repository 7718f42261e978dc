package stream_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

// behind is the delay of the tests' subscribers.
const behind = time.Second

func delayedToken(t *testing.T) string { return token(t, `{"delay_s":1}`, "sub", "late") }

// tradeAt publishes a trade that says it happened then.
func (r *rig) tradeAt(symbol string, then time.Time) int64 {
	r.t.Helper()
	s := market.Stream{Channel: market.ChannelTrade, Symbol: symbol}
	r.seqs[s]++
	body, err := codec.AppendTrade(nil, &market.Trade{Symbol: symbol, Seq: r.seqs[s], Time: then.UnixNano(), Price: 1, Size: 1})
	if err != nil {
		r.t.Fatal(err)
	}
	r.publish(s, body)
	return r.seqs[s]
}

// A print is one trade and when it was published.
type print struct {
	symbol string
	seq    int64
	at     time.Time
}

// late takes as many trades and wants them to be these, in the order of each stream and none
// before its time.
func (c *client) late(by time.Duration, want ...print) {
	c.t.Helper()
	left := make(map[string][]print)
	for _, p := range want {
		left[p.symbol] = append(left[p.symbol], p)
	}
	for range want {
		tr := nextOf[market.Trade](c)
		next := left[tr.Symbol]
		if len(next) == 0 || next[0].seq != tr.Seq {
			c.t.Fatalf("got %s %d, left are %v", tr.Symbol, tr.Seq, left)
		}
		left[tr.Symbol] = next[1:]
		if age := time.Since(next[0].at); age < by {
			c.t.Errorf("%s %d came after %s", tr.Symbol, tr.Seq, age)
		}
	}
}

func TestDelayedSubscriberIsLateForEverything(t *testing.T) {
	bothEncodings(t, func(t *testing.T, enc codec.Encoding) {
		g := newGuardedRig(t, stream.Config{})
		g.announce("A", "B")
		live, named, wild := g.dial(enc), g.dial(enc), g.dial(enc)
		live.mustAuthenticate(token(t, `{}`))
		named.mustAuthenticate(delayedToken(t))
		wild.mustAuthenticate(delayedToken(t))
		live.begin(`"channels":["trade"],"symbols":["*"]`, 2)
		named.begin(`"channels":["trade"],"symbols":["A"]`, 1)
		wild.begin(`"channels":["trade"],"symbols":["*"]`, 2)

		// C appears later, and takes its place behind the others.
		var all, ofA []print
		for _, s := range []string{"A", "B", "A", "C", "A"} {
			p := print{symbol: s, at: time.Now()}
			p.seq = g.tradeAt(s, p.at)
			if all = append(all, p); s == "A" {
				ofA = append(ofA, p)
			}
		}
		_, snapshot := g.ask("/v1/snapshot?symbols=A,B&channels=trade", delayedToken(t))
		if strings.TrimSpace(snapshot) != "[]" && time.Since(all[0].at) < behind {
			t.Errorf("a page shows what is not due: %s", snapshot)
		}
		live.late(0, all...)
		wild.late(behind, all...)
		named.late(behind, ofA...)

		// Now the last trade of A is due, and a newer one is not.
		before := time.Now()
		newer := g.tradeAt("A", before)
		second := g.dial(enc)
		second.mustAuthenticate(delayedToken(t))
		second.subscribe(`"channels":["trade"],"symbols":["A"]`)
		snap := nextOf[codec.Snapshot](second)
		shown, ok := snap.Event.(market.Trade)
		if (!ok || shown.Seq != newer-1) && time.Since(before) < behind {
			t.Errorf("snapshot %+v, want seq %d", snap.Event, newer-1)
		}
		_, snapshot = g.ask("/v1/snapshot?symbols=A&channels=trade", delayedToken(t))
		if !strings.HasPrefix(snapshot, fmt.Sprintf(`[["t","A",%d,`, newer-1)) && time.Since(before) < behind {
			t.Errorf("a page shows %s, want seq %d", snapshot, newer-1)
		}
		if shown.Seq != newer { // which was due already where this took long
			second.late(behind, print{"A", newer, before})
		}
	})
}

// A late view that begins now has what the store has, but nothing before its time, and passes
// nothing over: not for one who resumes, either.
func TestDelayedHistoryIsLate(t *testing.T) {
	g := newGuardedRig(t, stream.Config{})
	g.announce("A")
	old := time.Now().Add(-time.Minute)
	for range 3 {
		g.tradeAt("A", old)
	}
	var young []print
	for range 4 {
		p := print{symbol: "A", at: time.Now()}
		p.seq = g.tradeAt("A", p.at)
		young = append(young, p)
	}
	resumed, fresh := g.dial(codec.MsgPack), g.dial(codec.MsgPack)
	resumed.mustAuthenticate(delayedToken(t))
	fresh.mustAuthenticate(delayedToken(t))
	resumed.subscribe(`"channels":["trade"],"symbols":["A"],"after":{"trade":{"A":1}}`)
	fresh.subscribe(`"channels":["trade"],"symbols":["A"]`)
	if snap := nextOf[codec.Snapshot](fresh); time.Since(young[0].at) < behind {
		if tr, ok := snap.Event.(market.Trade); !ok || tr.Seq != 3 {
			t.Errorf("snapshot %+v, want seq 3", snap.Event)
		}
	}
	resumed.late(behind, append([]print{{"A", 2, old}, {"A", 3, old}}, young...)...)
	fresh.late(behind, young...)
}

// What is in the store is as old as it says, unless that cannot be.
func TestStoredTicksKeepTheirDelay(t *testing.T) {
	for _, tt := range []struct {
		name string
		age  time.Duration
		free bool
	}{
		{"old enough", time.Minute, true},
		{"new", 0, false},
		{"from the future", -time.Hour, false},
		{"of another year", 10_000 * time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuardedRig(t, stream.Config{})
			g.announce("A")
			published := time.Now()
			seq := g.tradeAt("A", published.Add(-tt.age))
			_, page := g.ask("/v1/snapshot?symbols=A", delayedToken(t))
			c := g.enter(delayedToken(t))
			c.subscribe(`"channels":["trade"],"symbols":["A"]`)
			snap := nextOf[codec.Snapshot](c)
			if tt.free {
				if tr, ok := snap.Event.(market.Trade); !ok || tr.Seq != seq || !strings.Contains(page, `"A"`) {
					t.Errorf("snapshot %+v, page %s", snap.Event, page)
				}
				return
			}
			if snap.Event != nil && time.Since(published) < behind || strings.Contains(page, `"A"`) && time.Since(published) < behind {
				t.Errorf("snapshot %+v, page %s", snap.Event, page)
			}
			c.late(behind, print{"A", seq, published})
		})
	}
}

func TestDelayIsOfTheConnection(t *testing.T) {
	g := newGuardedRig(t, stream.Config{})
	g.announce("A")
	c := g.enter(delayedToken(t))
	c.begin(`"channels":["trade"],"symbols":["A"]`, 1)
	if e, ok := c.authenticate(token(t, `{}`)).(codec.Error); !ok || e.Code != codec.CodeForbidden {
		t.Errorf("a token without the delay: %+v", e)
	}
	published := time.Now()
	c.late(behind, print{"A", g.tradeAt("A", published), published})
	c.send(`{"op":"unsubscribe","id":1,"channels":["trade"],"symbols":["A"]}`)
	nextOf[codec.Ack](c)
	c.mustAuthenticate(token(t, `{}`))
	c.begin(`"channels":["trade"],"symbols":["A"]`, 1)
	if seq := g.tradeAt("A", time.Now()); nextOf[market.Trade](c).Seq != seq {
		t.Error("not the live trade")
	}
}

func TestDifferentDelaysHaveABound(t *testing.T) {
	g := newGuardedRig(t, stream.Config{})
	for i := range 16 {
		g.enter(token(t, fmt.Sprintf(`{"delay_s":%d}`, 100+i)))
	}
	if status, _ := g.ask("/v1/snapshot?symbols=A", token(t, `{"delay_s":99}`)); status != 503 {
		t.Errorf("one more delay: status %d", status)
	}
	g.enter(token(t, `{"delay_s":100}`)).quiet("a delay that is kept")
}
