package stream_test

import (
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

// timed publishes the symbol's next trade as a feed does that tells its times: it was taken 6 s
// after it happened, and published 20 ms later.
func (r *rig) timed(symbol string) {
	r.t.Helper()
	s := market.Stream{Channel: market.ChannelTrade, Symbol: symbol}
	r.seqs[s]++
	now := time.Now().UnixNano()
	times := codec.Times{Event: now - 6020e6, Taken: now - 20e6, Published: now}
	if err := r.bus.PublishWith(s, appendTrade(r.t, nil, symbol, r.seqs[s]), times.Mark(nil)); err != nil {
		r.t.Fatal(err)
	}
	if err := r.bus.Flush(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// stat is the next one of the connection.
func (c *client) stat() codec.Stat {
	c.t.Helper()
	for {
		if st, ok := c.next().(codec.Stat); ok {
			return st
		}
	}
}

// knowsNoHops reads until an event is the last one that is wanted.
func (c *client) knowsNoHops(last func(codec.Event) bool) {
	c.t.Helper()
	for {
		ev := c.next()
		if st, ok := ev.(codec.Stat); ok && st.Hops != (codec.Hops{}) {
			c.t.Errorf("hops %+v without a live subscription", st.Hops)
		}
		if last(ev) {
			return
		}
	}
}

func TestStatTellsOfTheWay(t *testing.T) {
	bothEncodings(t, func(t *testing.T, enc codec.Encoding) {
		g := newGuardedRig(t, stream.Config{})
		g.announce("A", "B")
		named, wild, idle, late := g.dial(enc), g.dial(enc), g.dial(enc), g.dial(enc)
		for c, claim := range map[*client]string{named: `{"symbols":["A"]}`, wild: `{}`, idle: `{}`, late: `{"delay_s":1}`} {
			c.mustAuthenticate(token(t, claim))
		}
		named.begin(`"channels":["trade"],"symbols":["A"]`, 1)
		wild.begin(`"channels":["trade"],"symbols":["*"]`, 2)
		late.begin(`"channels":["trade"],"symbols":["*"]`, 2)
		for _, c := range []*client{named, wild, idle, late} {
			c.send(`{"op":"stats","every_ms":100}`)
			if st := c.stat(); st.Hops != (codec.Hops{}) {
				t.Errorf("hops %+v before the first tick", st.Hops)
			}
		}

		g.timed("A")
		for _, c := range []*client{named, wild} {
			st := c.stat()
			for st.Hops.Node == nil {
				st = c.stat()
			}
			for _, tt := range []struct {
				name     string
				got      *codec.Hop
				min, max time.Duration
			}{
				{"venue", st.Hops.Venue, 6 * time.Second, 6 * time.Second},
				{"feed", st.Hops.Feed, 20 * time.Millisecond, 20 * time.Millisecond},
				{"NATS", st.Hops.NATS, 0, patience}, // one machine, one clock
				{"node", st.Hops.Node, 0, patience}, // of two shards, perhaps
			} {
				if tt.got == nil || tt.got.Median < tt.min || tt.got.P99 < tt.got.Median || tt.got.P99 > tt.max {
					t.Errorf("%s took %v, want %v to %v", tt.name, tt.got, tt.min, tt.max)
				}
			}
		}
		// Who sees nothing of the market as it is hears nothing of its way.
		for _, c := range []*client{idle, late} {
			if c == late {
				c.knowsNoHops(func(ev codec.Event) bool { _, trade := ev.(market.Trade); return trade })
			}
			c.send(`{"op":"ping"}`)
			c.knowsNoHops(func(ev codec.Event) bool { _, pong := ev.(codec.Pong); return pong })
		}
		g.expect(map[string]float64{
			"hop_seconds{venue}_count": 1, "hop_seconds{venue}_sum": 6, "hop_seconds{feed}_count": 1, "hop_seconds{nats}_count": 1,
		})
	})
}
