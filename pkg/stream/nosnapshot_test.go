package stream_test

import (
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

// Without a snapshot the books begin with the first event behind the ack, and are whole from
// there on, though trades never rest.
func TestBooksWithoutASnapshot(t *testing.T) {
	for _, symbols := range []string{`["A","B"]`, `["*"]`} {
		t.Run(symbols, func(t *testing.T) {
			r := newRig(t, stream.Config{})
			r.announce("A", "B", "C")
			quiet := r.dial(codec.JSON)
			quiet.subscribe(`"channels":["trade","quote"],"snapshot":false,"symbols":` + symbols)
			quiet.quiet("no snapshot was asked for")

			r.trades("A", 100)
			c := r.dial(codec.MsgPack)
			c.subscribe(`"channels":["trade","quote"],"snapshot":false,"symbols":` + symbols)
			last := make(map[string]int64)
			for last["A"] < 300 || last["B"] < 100 {
				if r.seqs[market.Stream{Channel: market.ChannelTrade, Symbol: "A"}] < 10_000 { // some, while the grant is under way
					r.trades("A", 10)
					r.trades("B", 5)
				}
				for len(c.events) > 0 {
					tr := nextOf[market.Trade](c)
					if at := last[tr.Symbol]; at != 0 && tr.Seq != at+1 {
						t.Fatalf("%s: %d comes after %d", tr.Symbol, tr.Seq, at)
					}
					last[tr.Symbol] = tr.Seq
				}
			}
		})
	}
}

// Who named a stream loses nothing when the last wildcard goes and its streams are subscribed
// one by one, though trades never rest, nor when messages are lost in the middle of that.
func TestNothingIsLostWhenTheWildcardEnds(t *testing.T) {
	if secure {
		return // seven seconds in which no socket matters
	}
	r := newRig(t, stream.Config{Linger: time.Millisecond})
	r.announce("A", "B")
	c := r.dial(codec.MsgPack)
	c.begin(`"channels":["trade"],"symbols":["A"]`, 1)
	last := int64(0)
	flow := func(what string, ok func() bool) {
		t.Helper()
		r.await(what, func() bool {
			r.trades("A", 3)
			r.trade("B")
			for len(c.events) > 0 {
				tr := nextOf[market.Trade](c) // a gap would fail here
				if last++; tr.Symbol != "A" || tr.Seq != last {
					t.Fatalf("%+v comes after %d", tr, last-1)
				}
			}
			return ok()
		})
	}
	all := r.dial(codec.MsgPack)
	all.begin(`"channels":["trade"],"symbols":["*"]`, 2)
	flow("the wildcard alone", func() bool { return r.up.wants("trade *") && !r.up.wants("trade A") })
	_ = all.ws.NetConn().Close()
	flow("the stream to be subscribed again by itself", func() bool { return r.up.wants("trade A") })
	r.up.lose(true)
	began := r.trade("A")
	flow("messages to be lost", func() bool { return r.trade("A") > began+20 })
	r.up.lose(false)
	flow("the wildcard to be given up", func() bool { return !r.up.wants("trade *") })
	end := r.trade("A")
	flow("all of it", func() bool { return last >= end })
	if r.up.wants("trade B") {
		t.Error("a stream that nobody wants is subscribed")
	}
}
