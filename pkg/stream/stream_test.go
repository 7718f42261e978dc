package stream_test

import (
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
