package backpressure

import (
	"testing"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

func TestHold(t *testing.T) {
	const trade, quote, bar = market.ChannelTrade, market.ChannelQuote, market.ChannelBar
	for _, tt := range []struct {
		name, add, want string // one letter a tick, same letter = same stream
		ch              market.Channel
		policy          Policy
	}{
		{"quotes: the latest of each", "ababb", "a2 b3", quote, Conflate},
		{"under every policy", "ababb", "a2 b3", quote, DropOldest},
		{"bars too", "aaa", "a3", bar, Disconnect},
		{"trades: all", "abab", "a1 b1 a2 b2", trade, DropOldest},
		{"aggregate: one of each stream that had more than one", "abaa", "a1-3:sum b1", trade, Aggregate},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h Hold
			h.Init(codec.MsgPack, 1<<20)
			p := newPusher(tt.ch, 100)
			for _, l := range []byte(tt.add) {
				p.seq[l]++
				s := market.Stream{Channel: tt.ch, Symbol: string(l)}
				c, _ := testChunk(s, uint32(l), p.seq[l], 1, 0)
				h.Add(c, tt.policy)
			}
			if held := h.Bytes(); h.Empty() || held == 0 {
				t.Errorf("%d bytes are held", held)
			}
			if o := h.Release(&p.q, 9); o != (Outcome{}) || !h.Empty() || h.Bytes() != 0 {
				t.Errorf("released with %+v, %d bytes left", o, h.Bytes())
			}
			if at := p.q.OldestAt(); at != 9 || p.q.Over() {
				t.Errorf("the oldest waits since %d, want 9; over is %v", at, p.q.Over())
			}
			if got := p.drain(t); got != tt.want {
				t.Errorf("add %q: got %q, want %q", tt.add, got, tt.want)
			}
		})
	}
}

func TestHoldMelts(t *testing.T) {
	var h Hold
	s := market.Stream{Symbol: "a"}
	c, _ := testChunk(s, 'a', 1, 20, 0)
	h.Init(codec.MsgPack, len(c.Bytes)/2)
	p := newPusher(market.ChannelTrade, 100)
	if o := h.Add(c, DropOldest); o.Dropped != 17 || h.Bytes() > len(c.Bytes)/4 {
		t.Errorf("outcome %+v, %d bytes held", o, h.Bytes())
	}
	h.Release(&p.q, 1)
	if !p.q.Over() {
		t.Error("a session whose hold dropped trades is not over")
	}
	if got, want := p.drain(t), "a1-17:slow a18 a19 a20"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReleaseStream(t *testing.T) {
	var h Hold
	h.Init(codec.MsgPack, 1<<20)
	p := newPusher(market.ChannelQuote, 100)
	a, b := market.Stream{Channel: market.ChannelQuote, Symbol: "a"}, market.Stream{Channel: market.ChannelQuote, Symbol: "b"}
	for seq := int64(1); seq <= 3; seq++ {
		for _, s := range []market.Stream{a, b} {
			c, _ := testChunk(s, uint32(s.Symbol[0]), seq, 1, 0)
			h.Add(c, Conflate)
		}
		if seq == 2 {
			h.ReleaseStream('a', &p.q, 1)
		}
	}
	if got, want := p.drain(t), "a2"; got != want {
		t.Errorf("one stream: got %q, want %q", got, want)
	}
	h.Release(&p.q, 1)
	if got, want := p.drain(t), "b3 a3"; got != want {
		t.Errorf("the rest: got %q, want %q", got, want)
	}
}
