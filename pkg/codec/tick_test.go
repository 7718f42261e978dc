package codec

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/tickcast/tickcast/pkg/market"
	"pgregory.net/rapid"
)

// A moment, prices and sizes that are exact in binary, so that bytes can be read.
const noon = int64(1_770_000_000_123_456_789)

var (
	testTrade = market.Trade{Symbol: "BTC/USD", Seq: 41_000, Time: noon, Price: 64250.5, Size: 0.25, Side: market.SideBuy, ID: "98-7"}
	testQuote = market.Quote{Symbol: "BRK.B", Seq: 7, Time: noon, BidPrice: 498.25, BidSize: 300, AskPrice: 498.5, AskSize: 0}
	testBar   = market.Bar{Symbol: "AAPL", Seq: 300, Start: noon - noon%60e9, Interval: 60, Open: 201, High: 202.5,
		Low: 200.75, Close: 202, Volume: 125000, Trades: 841, Closed: true}
	testAggregate = market.Aggregate{Symbol: "BTC/USD", FromSeq: 41_001, ToSeq: 41_250, FirstTime: noon + 1,
		LastTime: noon + 9e9, Open: 64250.5, High: 64300, Low: 64200.25, Close: 64210, Volume: 12.5, Count: 250}
)

func must(t testing.TB) func(b []byte, err error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

// mustEvents is the msgpack records of the events, one after another.
func mustEvents(t testing.TB, events ...Event) []byte {
	t.Helper()
	var b []byte
	for _, ev := range events {
		b = must(t)(AppendEvent(b, ev))
	}
	return b
}

func batchOf(e Encoding, recs ...[]byte) []byte {
	var b Batch
	b.Reset(e, nil)
	for _, rec := range recs {
		b.AddRecord(rec)
	}
	return b.Bytes()
}

func TestATradeIsLaidOutAsTheProtocolSays(t *testing.T) {
	trade := market.Trade{Symbol: "X", Seq: 200, Time: 1, Price: 1, Size: -2, Side: market.SideSell, ID: "z"}
	want := "98" + "a174" + "a158" + "ccc8" + "d30000000000000001" + "cb3ff0000000000000" + "cbc000000000000000" + "a173" + "a17a"
	if got := fmt.Sprintf("%x", must(t)(AppendTrade(nil, &trade))); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestIntegersTakeTheirSmallestForm(t *testing.T) {
	for _, tt := range []struct {
		v    int64
		want string
	}{
		{0, "00"}, {127, "7f"}, {128, "cc80"}, {255, "ccff"}, {256, "cd0100"}, {65535, "cdffff"},
		{65536, "ce00010000"}, {math.MaxUint32, "ceffffffff"}, {1 << 32, "cf0000000100000000"},
		{math.MaxInt64, "cf7fffffffffffffff"}, {-1, "ff"}, {-32, "e0"}, {-33, "d0df"}, {-128, "d080"},
		{-129, "d1ff7f"}, {-32768, "d18000"}, {-32769, "d2ffff7fff"}, {math.MinInt32, "d280000000"},
		{math.MinInt32 - 1, "d3ffffffff7fffffff"}, {math.MinInt64, "d38000000000000000"},
	} {
		b := appendInt(nil, tt.v)
		if got := fmt.Sprintf("%x", b); got != tt.want {
			t.Errorf("%d: got %s, want %s", tt.v, got, tt.want)
		}
		if v, n := intAt(b, 0); v != tt.v || n != len(b) {
			t.Errorf("%d: reads back as %d in %d bytes", tt.v, v, n)
		}
	}
}

func TestATickThatCannotBeIsRefusedAndNothingIsWritten(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(-1)
	for _, tt := range []struct {
		name  string
		event Event
		want  error
	}{
		{"no symbol", market.Trade{Seq: 1}, market.ErrSymbol},
		{"the wildcard as a symbol", market.Quote{Symbol: "*", Seq: 1}, market.ErrSymbol},
		{"a control character", market.Bar{Symbol: "A\x7f", Seq: 1}, market.ErrSymbol},
		{"a C1 control character", market.Bar{Symbol: "A\u0085", Seq: 1}, market.ErrSymbol},
		{"a symbol that is not UTF-8", market.Aggregate{Symbol: "A\xff", FromSeq: 1, ToSeq: 1}, market.ErrSymbol},
		{"a symbol of 65 bytes", market.Trade{Symbol: strings.Repeat("x", 65), Seq: 1}, market.ErrSymbol},
		{"seq 0", market.Trade{Symbol: "A"}, ErrSeq},
		{"a negative seq", market.Quote{Symbol: "A", Seq: -1}, ErrSeq},
		{"a range that ends before it begins", market.Aggregate{Symbol: "A", FromSeq: 5, ToSeq: 4}, ErrSeq},
		{"a gap that ends before it begins", Gap{Stream: market.Stream{Symbol: "A"}, From: 5, To: 4}, ErrSeq},
		{"a price that is no number", market.Trade{Symbol: "A", Seq: 1, Price: nan}, ErrNumber},
		{"an infinite size", market.Trade{Symbol: "A", Seq: 1, Size: inf}, ErrNumber},
		{"an infinite ask size", market.Quote{Symbol: "A", Seq: 1, AskSize: inf}, ErrNumber},
		{"a volume that is no number", market.Bar{Symbol: "A", Seq: 1, Volume: nan}, ErrNumber},
		{"a low that is no number", market.Aggregate{Symbol: "A", FromSeq: 1, ToSeq: 1, Low: nan}, ErrNumber},
		{"a trade id that is not UTF-8", market.Trade{Symbol: "A", Seq: 1, ID: "\xc0"}, ErrTradeID},
		{"a trade id of 129 bytes", market.Trade{Symbol: "A", Seq: 1, ID: strings.Repeat("1", 129)}, ErrTradeID},
		{"a snapshot of another stream", Snapshot{Stream: market.Stream{Symbol: "A"}, Event: testTrade}, ErrMalformed},
		{"a snapshot of a gap", Snapshot{Stream: market.Stream{Symbol: "A"}, Event: Heartbeat{}}, ErrMalformed},
		{"what is no event", 5, ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := AppendEvent([]byte("before"), tt.event)
			if !errors.Is(err, tt.want) || string(got) != "before" {
				t.Errorf("got %q, %v; want error %v", got, err, tt.want)
			}
		})
	}
}

func TestSymbolLegalAgreesWithMarket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 4), func(b []byte) string { return string(b) })).Draw(t, "symbol")
		want := market.CheckSymbol(s) == nil
		if symbolLegal(s) != want || symbolLegal([]byte(s)) != want {
			t.Fatalf("%q: market says %v", s, want)
		}
	})
}

func TestTheHotPathAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 4096)
	unicode := testTrade
	unicode.Symbol = "日経225"
	rec := must(t)(AppendTrade(nil, &testTrade))
	wide := must(t)(AppendTrade(nil, &unicode))
	var batch Batch
	for _, tt := range []struct {
		name string
		do   func()
	}{
		{"AppendTrade", func() { buf, _ = AppendTrade(buf[:0], &testTrade) }},
		{"AppendTrade of a symbol that is not ASCII", func() { buf, _ = AppendTrade(buf[:0], &unicode) }},
		{"AppendQuote", func() { buf, _ = AppendQuote(buf[:0], &testQuote) }},
		{"AppendBar", func() { buf, _ = AppendBar(buf[:0], &testBar) }},
		{"AppendAggregate", func() { buf, _ = AppendAggregate(buf[:0], &testAggregate) }},
		{"NextTick", func() { _, _, _ = NextTick(rec) }},
		{"NextTick of a symbol that is not ASCII", func() { _, _, _ = NextTick(wide) }},
		{"TradeValues", func() { _, _, _ = TradeValues(rec) }},
		{"Batch of msgpack", func() { batch.Reset(MsgPack, buf); batch.Add(rec, 1); buf = batch.Bytes() }},
		{"Batch of JSON", func() { batch.Reset(JSON, buf); batch.AddRecord(rec); batch.Add([]byte("[]"), 1); buf = batch.Bytes() }},
	} {
		if n := testing.AllocsPerRun(100, tt.do); n != 0 {
			t.Errorf("%s: %v allocations", tt.name, n)
		}
	}
}

func TestTradeValuesAreTheTrades(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tick := genTick(genSymbol.Draw(t, "symbol")).Filter(func(ev Event) bool {
			_, ok := ev.(market.Trade)
			return ok
		}).Draw(t, "trade").(market.Trade)
		rec, err := AppendTrade(nil, &tick)
		if err != nil {
			t.Fatal(err)
		}
		if ts, price, size := TradeValues(rec); ts != tick.Time || price != tick.Price || size != tick.Size {
			t.Fatalf("got %d %v %v", ts, price, size)
		}
	})
}

func TestTextOfAServerIsAlwaysUTF8(t *testing.T) {
	rec := AppendError(nil, nil, CodeBadRequest, "no \xff such")
	if !bytes.Contains(rec, []byte("no \ufffd such")) {
		t.Errorf("got %q", rec)
	}
}
