package codec

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/tickcast/tickcast/pkg/market"
)

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Map(func(r rune) rune {
		if r == ' ' || r == '\n' {
			return -1
		}
		return r
	}, s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNextTickTellsWhatANodeRoutesBy(t *testing.T) {
	stream := market.Stream{Channel: market.ChannelBar, Symbol: "AAPL"}
	for _, tt := range []struct {
		event Event
		want  Head
	}{
		{testTrade, Head{KindTrade, market.ChannelTrade, []byte("BTC/USD"), 41_000, 41_000}},
		{testQuote, Head{KindQuote, market.ChannelQuote, []byte("BRK.B"), 7, 7}},
		{testBar, Head{KindBar, market.ChannelBar, []byte("AAPL"), 300, 300}},
		{testAggregate, Head{KindAggregate, market.ChannelTrade, []byte("BTC/USD"), 41_001, 41_250}},
		{Gap{stream, 5, 9, ReasonReset}, Head{KindGap, market.ChannelBar, []byte("AAPL"), 5, 9}},
	} {
		rec := mustEvents(t, tt.event)
		h, n, err := NextTick(append(rec[:len(rec):len(rec)], "what follows"...))
		if err != nil || n != len(rec) || h.Kind != tt.want.Kind || h.Channel != tt.want.Channel ||
			!bytes.Equal(h.Symbol, tt.want.Symbol) || h.Seq != tt.want.Seq || h.To != tt.want.To {
			t.Errorf("%T: got %+v, %d, %v", tt.event, h, n, err)
		}
		for cut := range rec {
			if _, _, err := NextTick(rec[:cut]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%T cut to %d bytes: %v", tt.event, cut, err)
			}
		}
	}
}

// quoteOf is the quote of symbol X whose elements after the symbol are given, in hex.
func quoteOf(elements byte, rest string) string {
	return hex.EncodeToString([]byte{mpFixArray | elements}) + "a171 a158" + rest
}

func TestNextTickIsStrict(t *testing.T) {
	const when, one = "d30000000000000001", "cb3ff0000000000000"
	quote := "05" + when + one + one + one + one
	deep := func(n int) string { return strings.Repeat("91", n) + "c0" }
	for _, tt := range []struct {
		name, rec string
		ok        bool
	}{
		{"a quote", quoteOf(8, quote), true},
		{"a quote whose seq is longer than need be", quoteOf(8, "d20000 0005"+when+one+one+one+one), true},
		{"elements of a later version", quoteOf(9, quote+"82 a161 93c0c2c3 a162 ca3f800000"), true},
		{"an extra element missing", quoteOf(9, quote), false},
		{"an element too few", quoteOf(7, "05"+when+one+one+one), false},
		{"fewer elements than are there", quoteOf(7, quote), false},
		{"extra bin", quoteOf(9, quote+"c40100"), false},
		{"extra ext", quoteOf(9, quote+"d40100"), false},
		{"extra NaN", quoteOf(9, quote+"cb7ff8000000000000"), false},
		{"extra 32-bit infinity", quoteOf(9, quote+"ca7f800000"), false},
		{"extra map with a key that is no string", quoteOf(9, quote+"810101"), false},
		{"extra text that is not UTF-8", quoteOf(9, quote+"a1ff"), false},
		{"the type byte that is never used", quoteOf(9, quote+"c1"), false},
		{"29 levels in an extra element: 32 in a snapshot in a batch", quoteOf(9, quote+deep(29)), true},
		{"30 levels", quoteOf(9, quote+deep(30)), false},
		{"an extra array of four thousand million", quoteOf(9, quote+"ddffffffff"), false},
		{"an extra string of four thousand million", quoteOf(9, quote+"dbffffffff"), false},
		{"seq 0", quoteOf(8, "00"+when+one+one+one+one), false},
		{"seq -1", quoteOf(8, "ff"+when+one+one+one+one), false},
		{"seq 2^63", quoteOf(8, "cf8000000000000000"+when+one+one+one+one), false},
		{"seq 1.0", quoteOf(8, one+when+one+one+one+one), false},
		{"a time that is no int64", quoteOf(8, "05 01"+one+one+one+one), false},
		{"a price that is an integer", quoteOf(8, "05"+when+"01"+one+one+one), false},
		{"a price of NaN", quoteOf(8, "05"+when+"cb7ff8000000000001"+one+one+one), false},
		{"a price of -Inf", quoteOf(8, "05"+when+"cbfff0000000000000"+one+one+one), false},
		{"the largest price", quoteOf(8, "05"+when+"cb7fefffffffffffff"+one+one+one), true},
		{"no symbol", "98a171a0" + quote, false},
		{"the wildcard for a symbol", "98a171a12a" + quote, false},
		{"a symbol that is not UTF-8", "98a171a1ff" + quote, false},
		{"a symbol that is bin", "98a171c40158" + quote, false},
		{"an unknown kind", "98a17aa158" + quote, false},
		{"a map", "81a171a158", false},
		{"nothing", "", false},
		{"a trade", "98a174a158" + "05" + when + one + one + "a162a0", true},
		{"a trade of no side that exists", "98a174a158" + "05" + when + one + one + "a178a0", false},
		{"a trade id that is no text", "98a174a158" + "05" + when + one + one + "a162" + "05", false},
		{"a trade id that is not UTF-8", "98a174a158" + "05" + when + one + one + "a162" + "a1c0", false},
		{"a bar whose closed is a number", "9ca162a158" + "05" + when + "3c" + one + one + one + one + one + "01" + "01", false},
		{"a gap", "96a3676170a3626172a158" + "0507" + "a5 7265736574", true},
		{"a gap of an unknown channel", "96a3676170a3626178a158" + "0507" + "a57265736574", false},
		{"a gap that ends before it begins", "96a3676170a3626172a158" + "0704" + "a57265736574", false},
		{"a heartbeat", "92a26862" + when, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := fromHex(t, tt.rec)
			_, n, err := NextTick(rec)
			if tt.ok && (err != nil || n != len(rec)) || !tt.ok && !errors.Is(err, ErrMalformed) {
				t.Fatalf("got %d of %d bytes, %v", n, len(rec), err)
			}
			if !tt.ok {
				return
			}
			for _, e := range []Encoding{MsgPack, JSON} {
				snap := AppendSnapshot(nil, market.Stream{Channel: market.ChannelQuote, Symbol: "X"}, rec)
				if _, err := DecodeBatch(e, batchOf(e, rec)); err != nil {
					t.Errorf("a batch in %v with it: %v", e, err)
				}
				if strings.HasPrefix(tt.rec[2:], "a171") {
					if _, err := DecodeBatch(e, batchOf(e, snap)); err != nil {
						t.Errorf("a batch in %v with its snapshot: %v", e, err)
					}
				}
			}
		})
	}
}

func TestARecordOverItsLimitIsRefused(t *testing.T) {
	quote := mustEvents(t, testQuote)
	quote[0]++ // one more element
	room := MaxRecordBytes - len(quote) - 3
	fits := be.AppendUint16(append(quote[:len(quote):len(quote)], mpStr16), uint16(room))
	fits = append(fits, bytes.Repeat([]byte{1}, room)...)
	if _, n, err := NextTick(fits); err != nil || n != MaxRecordBytes {
		t.Errorf("got %d, %v", n, err)
	}
	if text := must(t)(AppendJSON(nil, fits)); len(text) > MaxBatchBytes {
		t.Errorf("its JSON takes %d bytes", len(text))
	}
	over := be.AppendUint16(append(quote[:len(quote):len(quote)], mpStr16), uint16(room+1))
	over = append(over, bytes.Repeat([]byte{1}, room+1)...)
	if _, _, err := NextTick(over); !errors.Is(err, ErrMalformed) {
		t.Errorf("one byte more: %v", err)
	}
}
