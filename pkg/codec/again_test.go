package codec

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/tickcast/tickcast/pkg/market"
)

// eachByItself reads a chunk's ticks one by one: how many there are, and the last one; 0 where
// NextTick refuses one, or one is not the next of stream s.
func eachByItself(s market.Stream, body []byte) (n int, last []byte) {
	for i, seq := 0, int64(0); i < len(body); {
		h, length, err := NextTick(body[i:])
		if err != nil || h.Channel != s.Channel || string(h.Symbol) != s.Symbol || h.Kind == KindAggregate || h.Kind == KindGap ||
			n > 0 && h.Seq != seq+1 || h.Seq > market.SeqMax {
			return 0, nil
		}
		seq, last = h.Seq, body[i:i+length]
		n, i = n+1, i+length
	}
	return n, last
}

func checkAgainstEach(t interface{ Fatalf(string, ...any) }, s market.Stream, body []byte) {
	want, last := eachByItself(s, body) // 0 of what a gap leads too
	c, reset, err := ParseChunk(s, body)
	switch {
	case err != nil && !errors.Is(err, ErrMalformed):
		t.Fatalf("%v", err)
	case err != nil && want > 0, err == nil && reset == 0 && c.Void == 0 && c.N != want, err == nil && c.First <= reset:
		t.Fatalf("%x: %d ticks one by one, as a chunk %+v, %v", body, want, c, err)
	case err == nil && reset == 0 && c.Void == 0 && !bytes.Equal(c.LastRecord(), last):
		t.Fatalf("%x: the last is %x, want %x", body, c.LastRecord(), last)
	}
	p := NewParser(s)
	c2, reset2, err2 := p.Parse(body)
	if !reflect.DeepEqual(c2, c) || reset2 != reset || fmt.Sprint(err2) != fmt.Sprint(err) {
		t.Fatalf("%x: ParseChunk says %+v, %d, %v, and a Parser %+v, %d, %v", body, c, reset, err, c2, reset2, err2)
	}
}

// TestAChunkIsReadAsItsTicksAre states that a chunk is taken, and how, as if each of its ticks
// were read by itself, whatever is wrong with one of them.
func TestAChunkIsReadAsItsTicksAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ch := rapid.SampledFrom([]market.Channel{market.ChannelTrade, market.ChannelQuote}).Draw(t, "channel")
		s := market.Stream{Channel: ch, Symbol: rapid.SampledFrom([]string{"A", "BTC/USD", "Ω"}).Draw(t, "symbol")}
		seq := rapid.SampledFrom([]int64{1, 126, 254, 65_534, 1<<32 - 2, 1_790_000_000_000_000, market.SeqMax - 2}).Draw(t, "seq")
		var body []byte
		for i := range rapid.Int64Range(1, 5).Draw(t, "ticks") {
			if ch == market.ChannelTrade {
				body, _ = AppendTrade(body, &market.Trade{
					Symbol: s.Symbol, Seq: seq + i, Time: i, Price: 1, Size: 2,
					Side: rapid.SampledFrom([]market.Side{market.SideUnknown, market.SideBuy, market.SideSell}).Draw(t, "side"),
					ID:   rapid.SampledFrom([]string{"", "7", "12345678", "123456789é", "0123456789012345678901234567890123456789"}).Draw(t, "id"),
				})
			} else {
				body, _ = AppendQuote(body, &market.Quote{Symbol: s.Symbol, Seq: seq + i, Time: i, BidPrice: 1, AskPrice: 2})
			}
		}
		if rapid.Bool().Draw(t, "gap") {
			reason := rapid.SampledFrom([]Reason{ReasonReset, ReasonUpstream}).Draw(t, "reason")
			body = append(AppendGap(nil, s, 1, rapid.Int64Range(max(1, seq-1), seq).Draw(t, "unused"), reason), body...)
		}
		if rapid.Bool().Draw(t, "spoilt") {
			body[rapid.IntRange(0, len(body)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		if rapid.Bool().Draw(t, "cut") {
			body = body[:rapid.IntRange(0, len(body)).Draw(t, "length")]
		}
		checkAgainstEach(t, s, body)
	})
}

// FuzzParseChunk: the same of any bytes.
func FuzzParseChunk(f *testing.F) {
	f.Add(trades(f, 7, 8, 9))
	f.Add(append(gapOf(1, 6, ReasonReset), trades(f, 7, 8)...))
	f.Add(append(gapOf(5, 6, ReasonUpstream), trades(f, 7, 8)...))
	quote := testQuote
	quote.Symbol = testStream.Symbol
	two := mustEvents(f, quote)
	quote.Seq++
	f.Add(append(two, mustEvents(f, quote)...))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, ch := range market.AllChannels() {
			checkAgainstEach(t, market.Stream{Channel: ch, Symbol: testStream.Symbol}, body)
		}
	})
}
