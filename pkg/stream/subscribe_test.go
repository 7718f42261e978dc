package stream_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

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

// A node that has begun to read the directory knows some symbols, and not which others there are: who
// asked it for one of those would be told that it is unknown, and a wildcard would lose what it is to resume.
func TestNoSymbolIsKnownBeforeAllAre(t *testing.T) {
	r := newRig(t, stream.Config{})
	r.announce("A")
	c := r.dial(codec.JSON)
	r.up.unread.Store(true)
	for _, symbols := range []string{`["A"]`, `["NEXT"]`, `["*"]`} {
		c.send(`{"op":"subscribe","id":1,"channels":["trade"],"symbols":` + symbols + `}`)
		if e := nextOf[codec.Error](c); e.Code != codec.CodeNoUpstream {
			t.Errorf("subscribe %s: %+v", symbols, e)
		}
	}
	if status, _ := r.fetch("/v1/snapshot?symbols=NEXT"); status != http.StatusServiceUnavailable {
		t.Errorf("/v1/snapshot: %d", status)
	}
	if body := r.get("/v1/symbols"); body != "[]\n" {
		t.Errorf("/v1/symbols: %s", body)
	}
	if status, why := r.fetch("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(why, "symbols") {
		t.Errorf("/readyz: %d %s", status, why)
	}
	r.up.unread.Store(false)
	if status, why := r.fetch("/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: %d %s", status, why)
	}
	c.subscribe(`"channels":["trade"],"symbols":["A"]`)
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
