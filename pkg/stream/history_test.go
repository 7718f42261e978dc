package stream_test

import (
	"fmt"
	"testing"

	"github.com/tickcast/tickcast/pkg/bus"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

// trades expects the trades of the symbol with these seqs, next, and nothing else.
func (c *client) trades(symbol string, from, to int64) {
	c.t.Helper()
	for seq := from; seq <= to; seq++ {
		if tr := nextOf[market.Trade](c); tr.Symbol != symbol || tr.Seq != seq || tr.Price != float64(seq)+0.25 {
			c.t.Fatalf("got %+v, want %s %d", tr, symbol, seq)
		}
	}
}

func (c *client) resume(symbol string, after int64) {
	c.t.Helper()
	c.subscribe(fmt.Sprintf(`"channels":["trade"],"symbols":[%q],"after":{"trade":{%q:%d}}`, symbol, symbol, after))
}

func TestANodeThatStartsNowServesWhatWasMissed(t *testing.T) {
	b := newBus(t)
	first := newRigOn(t, b, stream.Config{})
	first.announce("A")
	const n = 12_000
	for range n / 8 {
		first.trades("A", 8)
	}
	bothEncodings(t, func(t *testing.T, enc codec.Encoding) {
		// The budget is a tenth of what is owed, which is no reason to drop any of it.
		late := newRigBeside(t, b, stream.Config{PendingBytes: 64 << 10}, "A")
		c := late.dial(enc)
		last := first.seqs[market.Stream{Channel: market.ChannelTrade, Symbol: "A"}]
		c.resume("A", 5)
		c.trades("A", 6, last)
		next := first.trades("A", 3)
		c.trades("A", last+1, next)
		c.quiet("no more was published")
	})
}

func TestOneSearchServesACrowd(t *testing.T) {
	b := newBus(t)
	first := newRigOn(t, b, stream.Config{})
	first.announce("A")
	for range 50 {
		first.trades("A", 2)
	}
	late := newRigBeside(t, b, stream.Config{}, "A")
	clients := make([]*client, 30)
	for i := range clients {
		clients[i] = late.dial(codec.Encoding(i % 2))
		clients[i].send(fmt.Sprintf(`{"op":"subscribe","id":7,"channels":["trade"],"symbols":["A"],"after":{"trade":{"A":%d}}}`, 10+i))
	}
	for i, c := range clients {
		nextOf[codec.Ack](c)
		c.trades("A", int64(11+i), 100)
	}
	late.up.mu.Lock()
	defer late.up.mu.Unlock()
	if late.up.searches > 4 { // those who come while one is under way may need another
		t.Errorf("%d searches for %d sessions", late.up.searches, len(clients))
	}
}

func TestWhatIsNotHeldAnyMoreIsOneGap(t *testing.T) {
	b := newBusWith(t, bus.Config{HistoryPerStream: 10})
	first := newRigOn(t, b, stream.Config{})
	first.announce("A")
	for range 100 {
		first.trade("A")
	}
	late := newRigBeside(t, b, stream.Config{}, "A")
	for range 2 { // what is known not to be there is not searched for again
		c := late.dial(codec.MsgPack)
		c.resume("A", 50)
		if g := nextOf[codec.Gap](c); g.From != 51 || g.To != 90 || g.Reason != codec.ReasonHistory {
			t.Errorf("got %+v", g)
		}
		c.trades("A", 91, 100)
		late.up.mu.Lock()
		searches := late.up.searches
		late.up.mu.Unlock()
		if searches > 3 {
			t.Errorf("%d searches", searches)
		}
	}
	d := late.dial(codec.MsgPack)
	d.resume("A", 1_000_000) // counts as the newest
	d.quiet("nothing is newer")
	first.trade("A")
	d.trades("A", 101, 101)
}

func TestResumeOverAReset(t *testing.T) {
	b := newBus(t)
	first := newRigOn(t, b, stream.Config{})
	first.announce("A")
	s := market.Stream{Channel: market.ChannelTrade, Symbol: "A"}
	first.trades("A", 5)
	first.seqs[s] = 1000
	for range 3 {
		first.seqs[s]++
		first.publish(s, appendTrade(t, codec.AppendGap(nil, s, 1, 1000, codec.ReasonReset), "A", first.seqs[s]))
	}
	late := newRigBeside(t, b, stream.Config{}, "A")
	c := late.dial(codec.JSON)
	c.resume("A", 3)
	c.trades("A", 4, 5)
	if g := nextOf[codec.Gap](c); g.From != 6 || g.To != 1000 || g.Reason != codec.ReasonReset {
		t.Errorf("got %+v", g)
	}
	c.trades("A", 1001, 1003)
}

func TestAWildcardResumesTheStreamsItNames(t *testing.T) {
	b := newBus(t)
	first := newRigOn(t, b, stream.Config{})
	first.announce("A", "B", "C")
	for range 20 {
		first.trade("A")
		first.trade("B")
	}
	first.trade("C")
	late := newRigBeside(t, b, stream.Config{}, "A", "B", "C")
	c := late.dial(codec.MsgPack)
	c.subscribe(`"channels":["trade"],"symbols":["*"],"after":{"trade":{"A":7,"B":20}}`)
	for next := int64(8); next <= 20; {
		switch ev := c.next().(type) {
		case codec.Snapshot:
			if ev.Stream.Symbol != "C" {
				t.Fatalf("got %+v", ev)
			}
		case market.Trade:
			if ev.Symbol != "A" || ev.Seq != next {
				t.Fatalf("got %+v, want A %d", ev, next)
			}
			next++
		}
	}
	first.trade("B")
	for { // the snapshot of C may come last
		ev := c.next()
		if tr, ok := ev.(market.Trade); ok {
			if tr.Symbol != "B" || tr.Seq != 21 {
				t.Errorf("got %+v", tr)
			}
			break
		}
	}
}

func TestAConflatedStreamResumesAtItsLatest(t *testing.T) {
	r := newRig(t, stream.Config{})
	r.announce("A")
	for range 5 {
		r.quote("A")
	}
	c := r.dial(codec.MsgPack)
	c.subscribe(`"channels":["quote"],"symbols":["A"],"after":{"quote":{"A":2}}`)
	if q := nextOf[market.Quote](c); q.Seq != 5 {
		t.Errorf("got %+v", q)
	}
	d := r.dial(codec.MsgPack)
	d.subscribe(`"channels":["quote"],"symbols":["A"],"after":{"quote":{"A":5}}`)
	d.quiet("nothing is newer")
}

func TestTradesThatDidNotComeAreFoundInTheStore(t *testing.T) {
	bothEncodings(t, func(t *testing.T, enc codec.Encoding) {
		r := newRig(t, stream.Config{})
		r.announce("A")
		c := r.dial(enc)
		c.begin(`"channels":["trade"],"symbols":["A"]`, 1)
		for round := range int64(3) {
			lose := func(on bool) {
				r.up.mu.Lock()
				r.up.losing = on
				r.up.mu.Unlock()
				// Whatever was published before has come by when this has.
				r.announce(fmt.Sprint("mark", round, on))
			}
			at := 20 * round
			r.trades("A", 5)
			c.trades("A", at+1, at+5)
			lose(true)
			r.trades("A", 5)
			r.trades("A", 5)
			lose(false)
			r.trades("A", 5)
			c.trades("A", at+6, at+20)
		}
		c.quiet("nothing is missing")
	})
}
