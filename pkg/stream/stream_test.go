package stream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

func TestHelloTellsTheTerms(t *testing.T) {
	bothEncodings(t, func(t *testing.T, enc codec.Encoding) {
		r := newRig(t, stream.Config{Name: "n1", Heartbeat: 3 * time.Second, MaxSymbols: 12})
		h := r.dial(enc).seen[0].(codec.Hello)
		if h.Session == "" || h.Node != "n1" || h.Heartbeat != 3*time.Second || h.MaxSymbols != 12 || h.Auth != "none" {
			t.Errorf("got %+v", h)
		}
	})
}

func TestSnapshotThenEveryTradeOnce(t *testing.T) {
	bothEncodings(t, func(t *testing.T, enc codec.Encoding) {
		r := newRig(t, stream.Config{})
		r.announce("BRK.B", "BTC/USD")
		last := r.trades("BRK.B", 3)
		c := r.dial(enc)
		ack := c.subscribe(`"channels":["trade"],"symbols":["BRK.B","BTC/USD","NOPE"]`)
		if fmt.Sprint(ack.Symbols, ack.Rejected, *ack.ID) != "[BRK.B BTC/USD] map[NOPE:4404] 7" {
			t.Errorf("ack %+v", ack)
		}
		for range 2 {
			snap := nextOf[codec.Snapshot](c)
			switch ev := snap.Event.(type) {
			case market.Trade:
				if snap.Stream.Symbol != "BRK.B" || ev.Seq != last || ev.Price != float64(last)+0.25 {
					t.Errorf("snapshot %+v", snap)
				}
			case nil:
				if snap.Stream.Symbol != "BTC/USD" {
					t.Errorf("snapshot %+v", snap)
				}
			}
		}
		r.trades("BRK.B", 2)
		r.trade("BTC/USD")
		for _, want := range []string{"BRK.B 4", "BRK.B 5", "BTC/USD 1"} {
			tr := nextOf[market.Trade](c)
			if got := fmt.Sprint(tr.Symbol, " ", tr.Seq); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		c.quiet("nothing else was published")
	})
}

func TestWildcardTakesInWhatComesLater(t *testing.T) {
	r := newRig(t, stream.Config{})
	r.announce("A", "B")
	r.trade("A")
	c := r.dial(codec.MsgPack)
	if ack := c.subscribe(`"channels":["trade"],"symbols":["*"]`); fmt.Sprint(ack.Symbols) != "[*]" {
		t.Errorf("ack %+v", ack)
	}
	snaps := map[string]bool{}
	for range 2 {
		s := nextOf[codec.Snapshot](c)
		snaps[s.Stream.Symbol] = s.Event != nil
	}
	if fmt.Sprint(snaps) != "map[A:true B:false]" {
		t.Errorf("snapshots %v", snaps)
	}
	r.trade("C") // published for without being announced
	if tr := nextOf[market.Trade](c); tr.Symbol != "C" || tr.Seq != 1 {
		t.Errorf("got %+v", tr)
	}

	// One symbol may be left out of the wildcard, and the rest ended by another one.
	c.send(`{"op":"unsubscribe","id":1,"channels":["trade"],"symbols":["A","NOPE"]}`)
	if ack := nextOf[codec.Ack](c); fmt.Sprint(ack.Symbols) != "[A]" {
		t.Errorf("ack %+v", ack)
	}
	r.trade("A")
	r.trade("B")
	if tr := nextOf[market.Trade](c); tr.Symbol != "B" {
		t.Errorf("got %+v", tr)
	}
	c.send(`{"op":"unsubscribe","id":2,"channels":["trade"],"symbols":["*"]}`)
	if ack := nextOf[codec.Ack](c); fmt.Sprint(ack.Symbols) != "[*]" {
		t.Errorf("ack %+v", ack)
	}
	r.trade("B")
	c.quiet("all is unsubscribed")
}

func TestUnsubscribeEndsAStream(t *testing.T) {
	bothEncodings(t, func(t *testing.T, enc codec.Encoding) {
		r := newRig(t, stream.Config{})
		r.announce("A", "B")
		c := r.dial(enc)
		c.begin(`"channels":["trade","quote"],"symbols":["A","B"]`, 4)
		r.trade("A")
		nextOf[market.Trade](c)
		c.send(`{"op":"unsubscribe","id":1,"channels":["trade"],"symbols":["A"]}`)
		if ack := nextOf[codec.Ack](c); fmt.Sprint(ack.Symbols, ack.Channels) != "[A] [trade]" {
			t.Errorf("ack %+v", ack)
		}
		r.trade("A")
		r.quote("A")
		r.trade("B")
		if q := nextOf[market.Quote](c); q.Symbol != "A" {
			t.Errorf("got %+v", q)
		}
		if tr := nextOf[market.Trade](c); tr.Symbol != "B" {
			t.Errorf("got %+v", tr)
		}
		// What is subscribed again begins with a snapshot that stands for what was missed.
		c.subscribe(`"channels":["trade"],"symbols":["A"]`)
		if s := nextOf[codec.Snapshot](c); s.Event.(market.Trade).Seq != 2 {
			t.Errorf("snapshot %+v", s)
		}
	})
}

func TestRequestsThatAreRefused(t *testing.T) {
	r := newRig(t, stream.Config{MaxSymbols: 2})
	c := r.dial(codec.JSON)
	c.send(`{"op":"subscribe","id":1,"channels":["trade"],"symbols":["A"]}`)
	if e := nextOf[codec.Error](c); e.Code != codec.CodeNoUpstream || *e.ID != 1 {
		t.Errorf("before any symbol is known: %+v", e)
	}
	r.announce("A", "B", "C")
	for _, tt := range []struct {
		name, req string
		id        int64
		code      codec.Code
	}{
		{"unknown op", `{"op":"zap","id":5}`, 5, codec.CodeBadRequest},
		{"no JSON", `{"op":`, 0, codec.CodeBadRequest},
		{"no map", `[1]`, 0, codec.CodeBadRequest},
		{"missing field", `{"op":"subscribe","id":6,"channels":["trade"]}`, 6, codec.CodeBadRequest},
		{"wrong type", `{"op":"subscribe","id":6,"channels":"trade","symbols":["A"]}`, 6, codec.CodeBadRequest},
		{"interval out of range", `{"op":"subscribe","id":6,"channels":["quote"],"symbols":["A"],"interval_ms":60001}`, 6, codec.CodeBadRequest},
		{"conflated trades", `{"op":"subscribe","id":6,"channels":["trade"],"symbols":["A"],"policy":"conflate"}`, 6, codec.CodeBadRequest},
		{"aggregated quotes", `{"op":"subscribe","id":6,"channels":["quote"],"symbols":["A"],"policy":"aggregate"}`, 6, codec.CodeBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c.send(tt.req)
			e := nextOf[codec.Error](c)
			if e.Code != tt.code || e.Message == "" {
				t.Errorf("got %+v", e)
			}
			if (e.ID == nil) != (tt.id == 0) || e.ID != nil && *e.ID != tt.id {
				t.Errorf("id %v, want %d", e.ID, tt.id)
			}
		})
	}
	if ack := c.subscribe(`"channels":["trade","quote"],"symbols":["A","B","C"],"snapshot":false`); fmt.Sprint(ack.Rejected) != "map[C:4413]" {
		t.Errorf("third symbol of two: %+v", ack)
	}
	if ack := c.subscribe(`"channels":["bar"],"symbols":["A"],"snapshot":false`); len(ack.Rejected) != 0 {
		t.Errorf("a symbol counts once: %+v", ack)
	}
	c.send(`{"op":"auth","id":8,"token":"any"}`)
	if ack := nextOf[codec.Ack](c); *ack.ID != 8 || ack.Channels != nil {
		t.Errorf("auth that nobody asked for: %+v", ack)
	}
}

func TestEitherEncodingIsUnderstoodAtAnyTime(t *testing.T) {
	bothEncodings(t, func(t *testing.T, enc codec.Encoding) {
		r := newRig(t, stream.Config{})
		c := r.dial(enc)
		for _, in := range []codec.Encoding{codec.JSON, codec.MsgPack} {
			id := int64(1)<<62 + int64(in)
			req, err := codec.AppendRequest(nil, in, &codec.Request{Op: codec.OpPing, ID: &id})
			if err != nil {
				t.Fatal(err)
			}
			op := gws.OpcodeText
			if in == codec.MsgPack {
				op = gws.OpcodeBinary
			}
			before := time.Now().UnixNano()
			if err := c.ws.WriteMessage(op, req); err != nil {
				t.Fatal(err)
			}
			if p := nextOf[codec.Pong](c); *p.ID != id || p.Time < before {
				t.Errorf("got %+v", p)
			}
		}
	})
}

func TestHeartbeatInSilence(t *testing.T) {
	r := newRig(t, stream.Config{Heartbeat: 100 * time.Millisecond})
	c := r.dial(codec.MsgPack)
	for range 3 {
		if hb, ok := c.next().(codec.Heartbeat); !ok || hb.Time == 0 {
			t.Errorf("got %#v", c.seen)
		}
	}
}

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

func TestTheNodeTakesOnlyWhatIsWanted(t *testing.T) {
	r := newRig(t, stream.Config{Linger: time.Millisecond})
	r.announce("A", "B")
	c := r.dial(codec.MsgPack)
	c.subscribe(`"channels":["trade"],"symbols":["A"]`)
	nextOf[codec.Snapshot](c)
	if !r.up.wants("trade A") || r.up.wants("trade B") || r.up.wants("quote A") || r.up.wants("trade *") {
		t.Errorf("subscribed to %v", r.up.subs)
	}
	d := r.dial(codec.MsgPack)
	d.subscribe(`"channels":["trade"],"symbols":["*"]`)
	nextOf[codec.Snapshot](d)
	r.await("the wildcard alone", func() bool { return r.up.wants("trade *") && !r.up.wants("trade A") })
	_ = d.ws.NetConn().Close()
	r.await("the wildcard to be given up", func() bool { return !r.up.wants("trade *") && r.up.wants("trade A") })
	r.trade("A")
	if tr := nextOf[market.Trade](c); tr.Seq != 1 {
		t.Errorf("got %+v", tr)
	}
	_ = c.ws.NetConn().Close()
	r.await("the stream to be given up", func() bool { return !r.up.wants("trade A") })
	// And all again, over streams that the node has once followed.
	r.trade("A")
	e := r.dial(codec.MsgPack)
	e.subscribe(`"channels":["trade"],"symbols":["A"]`)
	if s := nextOf[codec.Snapshot](e); s.Event.(market.Trade).Seq != 2 {
		t.Errorf("snapshot %+v", s)
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

func TestSlowConsumerIsCutAndOthersAreNot(t *testing.T) {
	r := newRig(t, stream.Config{PendingBytes: 64 << 10, SlowTimeout: 300 * time.Millisecond, Shards: 1})
	r.announce("A")
	healthy := r.dial(codec.MsgPack)
	healthy.begin(`"channels":["trade"],"symbols":["A"]`, 1)
	slow := r.stall("A")
	received := int64(0)
	for gone := false; !gone; {
		last := r.trades("A", 500)
		for received < last {
			tr := nextOf[market.Trade](healthy)
			if received++; tr.Seq != received {
				t.Fatalf("healthy subscriber got %d, want %d", tr.Seq, received)
			}
		}
		gone = !strings.Contains(r.get("/v1/sessions"), slow)
	}
}

// stall connects a subscriber that reads nothing after its ack, and returns its address.
func (r *rig) stall(symbol string) string {
	r.t.Helper()
	w := r.raw()
	w.upgrade()
	w.frame(true, 1, []byte(`{"op":"subscribe","channels":["trade"],"symbols":["`+symbol+`"]}`))
	addr := w.LocalAddr().String()
	r.await("the subscription", func() bool { return strings.Contains(r.get("/v1/sessions"), addr) })
	return addr
}

func TestIntervalConflatesQuotesAndKeepsTrades(t *testing.T) {
	r := newRig(t, stream.Config{})
	r.announce("A")
	c := r.dial(codec.MsgPack)
	c.begin(`"channels":["trade","quote"],"symbols":["A"],"interval_ms":200`, 2)
	for range 50 {
		r.trade("A")
		r.quote("A")
	}
	trades, quotes := int64(0), 0
	for last := int64(0); trades < 50 || last < 50; {
		switch ev := c.next().(type) {
		case market.Trade:
			if trades++; ev.Seq != trades {
				t.Fatalf("trade %d, want %d", ev.Seq, trades)
			}
		case market.Quote:
			quotes++
			if ev.Seq <= last {
				t.Fatalf("quote %d after %d", ev.Seq, last)
			}
			last = ev.Seq
		}
	}
	if quotes >= 50 {
		t.Errorf("%d quotes of 50: none was conflated", quotes)
	}
}

func TestDrainSaysGoodbye(t *testing.T) {
	r := newRig(t, stream.Config{})
	r.announce("A")
	clients := []*client{r.dial(codec.MsgPack), r.dial(codec.JSON), r.dial(codec.MsgPack)}
	r.node.Drain(context.Background(), 200*time.Millisecond)
	for _, c := range clients {
		if b := nextOf[codec.Bye](c); b.Code != 1012 || b.RetryAfter <= 0 {
			t.Errorf("got %+v", b)
		}
		if code := c.closeCode(); code != 1012 {
			t.Errorf("close code %d", code)
		}
	}
	if status, _ := r.fetch("/readyz"); status != 503 {
		t.Errorf("/readyz while draining: %d", status)
	}
	if status, _ := r.fetch("/healthz"); status != 200 {
		t.Errorf("/healthz while draining: %d", status)
	}
	if _, _, err := gws.NewClient(&client{t: t}, dialOptions(r.url)); err == nil {
		t.Error("a draining node took a new subscriber")
	}
}

func TestStatsOnRequest(t *testing.T) {
	r := newRig(t, stream.Config{})
	r.announce("A")
	c := r.dial(codec.JSON)
	c.begin(`"channels":["trade"],"symbols":["A"]`, 1)
	c.send(`{"op":"stats","id":1,"every_ms":50}`)
	nextOf[codec.Ack](c)
	r.trades("A", 10)
	sent := int64(0)
	for sent < 10 {
		switch ev := c.next().(type) {
		case codec.Stat:
			sent += ev.Sent
			if ev.Slow || ev.Dropped != 0 {
				t.Errorf("got %+v", ev)
			}
		case market.Trade:
		default:
			t.Fatalf("got %#v", ev)
		}
	}
}

func TestCompressionCarriesTheSame(t *testing.T) {
	for _, off := range []bool{false, true} {
		t.Run(fmt.Sprintf("refused by the server %v", off), func(t *testing.T) {
			r := newRig(t, stream.Config{NoCompression: off})
			r.announce("A")
			o := dialOptions(r.url, codec.MsgPack.Subprotocol())
			o.PermessageDeflate = gws.PermessageDeflate{Enabled: true}
			c := r.dialWith(codec.MsgPack, o)
			c.begin(`"channels":["trade"],"symbols":["A"]`+strings.Repeat(" ", 600), 1)
			r.trades("A", 300)
			for want := int64(1); want <= 300; want++ {
				if tr := nextOf[market.Trade](c); tr.Seq != want || tr.Price != float64(want)+0.25 {
					t.Fatalf("got %+v, want %d", tr, want)
				}
			}
		})
	}
}
