package replay

import (
	"errors"
	"path/filepath"
	"testing"
)

const (
	derivedTrades = "recv_ns,venue,symbol,trade_id,event_ms,trade_ms,price,size,buyer_is_maker"
	derivedQuotes = "recv_ns,venue,symbol,update_id,event_ms,bid,bid_size,ask,ask_size"
	geminiTrades  = "time_seconds,price,size,is_buyer_maker"
	geminiQuotes  = "time_seconds,bid_price_bid_size,ask_price_ask_size"
)

func TestFormats(t *testing.T) {
	for _, tt := range []struct {
		name, file, content string
		want                []string
		skipped             int64
	}{
		{
			name: "binance spot frames", file: "a.txt",
			content: join(
				`1700000000000000001 {"stream":"abcusdt@depth@100ms","data":{"e":"depthUpdate","E":1700000001000,"s":"ABCUSDT","U":1,"u":2,"b":[["1.5","0"]],"a":[]}}`,
				`1700000000000000002 {"stream":"abcusdt@bookTicker","data":{"u":7,"s":"ABCUSDT","b":"100.10000000","B":"2.50000000","a":"100.20000000","A":"0.00001000"}}`,
				`1700000000000000003 {"stream":"abcusdt@trade","data":{"e":"trade","E":1700000001003,"s":"ABCUSDT","t":70,"p":"100.20000000","q":"0.30000000","T":1700000001002,"m":false,"M":true}}`,
				`1700000000000000004 {"stream":"abcusdt@trade","data":{"e":"trade","E":1700000001005,"s":"ABCUSDT","t":71,"p":"100.10000000","q":"0.10000000","T":1700000001004,"m":true,"M":true}}`,
				`1700000000000000005 {"lastUpdateId":6,"bids":[["100.1","2"]],"asks":[]}`,
				`1700000000000000006 {"result":null,"id":1}`,
			),
			want: []string{
				"q ABCUSDT 1700000000000000002 100.1 2.5 100.2 1e-05",
				"t ABCUSDT 1700000001002000000 100.2 0.3 b 70",
				"t ABCUSDT 1700000001004000000 100.1 0.1 s 71",
			},
			skipped: 3,
		},
		{
			name: "binance futures frames, gzipped", file: "b.gz",
			content: join(
				`1700000000000000001 {"stream":"abcusdt@trade","data":{"e":"trade","E":1700000001003,"T":1700000001001,"s":"ABCUSDT","t":5,"p":"9.50","q":"3","X":"MARKET","m":true}}`,
				`1700000000000000002 {"stream":"abcusdt@bookTicker","data":{"e":"bookTicker","u":8,"s":"ABCUSDT","b":"9.40","B":"1.000","a":"9.50","A":"4.000","T":1700000001002,"E":1700000001009}}`,
				`1700000000000000003 {"stream":"abcusdt@bookTicker","data":{"e":"bookTicker","u":9,"s":"ABCUSDT","b":"9.30","B":"1.000","a":"9.50","A":"4.000","E":1700000001010}}`,
			),
			want: []string{
				"t ABCUSDT 1700000001001000000 9.5 3 s 5",
				"q ABCUSDT 1700000001002000000 9.4 1 9.5 4",
				"q ABCUSDT 1700000001010000000 9.3 1 9.5 4",
			},
		},
		{
			name: "frames of a single stream, spaced, with an escape in the name", file: "c.txt",
			content: join(
				`1700000000000000001 { "e" : "trade", "E":1700000001003, "s":"A\u00c4B", "t":5, "p":"9.50", "q":"3", "T":1700000001001, "m":true, "M":true }`,
			),
			want: []string{"t AÄB 1700000001001000000 9.5 3 s 5"},
		},
		{
			name: "trades of several symbols", file: "d.csv.gz",
			content: join(derivedTrades,
				"1700000000000000001,binance-spot,ABCUSDT,70,1700000001003,1700000001002,100.20000000,0.30000000,false",
				"1700000000000000002,binance-spot,XYZUSDT,12,1700000001003,1700000001003,0.00012000,55000.00000000,true",
			),
			want: []string{
				"t ABCUSDT 1700000001002000000 100.2 0.3 b 70",
				"t XYZUSDT 1700000001003000000 0.00012 55000 s 12",
			},
		},
		{
			name: "quotes of several venues, without the header", file: "e.csv",
			content: join(
				"1700000000000000001,binance-spot,ABCUSDT,7,,100.1,2.5,100.2,0.5",
				"1700000000000000002,binance-usdm,XYZUSDT,8,1700000001002,9.40,1,9.50,4",
			),
			want: []string{
				"q ABCUSDT 1700000000000000001 100.1 2.5 100.2 0.5",
				"q XYZUSDT 1700000001002000000 9.4 1 9.5 4",
			},
		},
		{
			name: "gemini trades, equal lines being different trades", file: "gemini-ABCUSD-20210701.csv.gz",
			content: join(geminiTrades, "1625097621.647,2278.15,0.0409,1", "1625097621.6,2278.15,1e-06,0", "1625097621.6,2278.15,1e-06,0"),
			want: []string{
				"t ABCUSD 1625097621647000000 2278.15 0.0409 s",
				"t ABCUSD 1625097621600000000 2278.15 1e-06 b",
				"t ABCUSD 1625097621600000000 2278.15 1e-06 b",
			},
		},
		{
			name: "gemini quotes, the last line without an end", file: "gemini-ABCUSD-20210701-bbo.csv",
			content: geminiQuotes + "\n1625097600,2271.58_1.6477,2279.63_28.479526\n1625097601,2271.58_1.5,2279.86_11",
			want: []string{
				"q ABCUSD 1625097600000000000 2271.58 1.6477 2279.63 28.479526",
				"q ABCUSD 1625097601000000000 2271.58 1.5 2279.86 11",
			},
		},
		{
			name: "fxcm, days from 5:00 UTC, crossed and locked, CRLF", file: "fxcm-EURUSD-20140505.zip>20140505_eurusd_tick_quote.csv",
			content: "3074,1.38756,1.38758\r\n7826,1.38759,1.38758\r\n86397107,1.38758,1.38758",
			want: []string{
				"q EURUSD 1399266003074000000 1.38756 0 1.38758 0",
				"q EURUSD 1399266007826000000 1.38759 0 1.38758 0",
				"q EURUSD 1399352397107000000 1.38758 0 1.38758 0",
			},
		},
		{
			name: "oanda, days from midnight UTC, parts of milliseconds", file: "oanda-XAUUSD-20140505.zip>20140505_xauusd_tick_quote.csv",
			content: join("40.1868,1300.335,1300.799", "42.666,1300.335,1300.814"),
			want: []string{
				"q XAUUSD 1399248000040186800 1300.335 0 1300.799 0",
				"q XAUUSD 1399248000042666000 1300.335 0 1300.814 0",
			},
		},
		{
			name: "fx unzipped, the venue being the folder's", file: "oanda/20140505_xauusd_tick_quote.csv",
			content: join("40,1300.335,1300.799"),
			want:    []string{"q XAUUSD 1399248000040000000 1300.335 0 1300.799 0"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := write(t, map[string]string{tt.file: tt.content})
			r, stats, warnings := play(t, dir, Config{})
			sameLines(t, r.lines, tt.want)
			if stats.Skipped != tt.skipped || stats.Bad != 0 || len(warnings) > 0 {
				t.Errorf("got %+v and %q", stats, warnings)
			}
		})
	}
}

func TestVenuesOfFrames(t *testing.T) {
	const (
		spot      = `1700000000000000001 {"stream":"a@bookTicker","data":{"u":7,"s":"ABC","b":"1","B":"2","a":"3","A":"4"}}`
		usdm      = `1700000000000000001 {"stream":"a@bookTicker","data":{"e":"bookTicker","u":7,"s":"ABC","b":"1","B":"2","a":"3","A":"4","T":1700000001001,"E":1700000001001}}`
		usdmTrade = `1700000000000000001 {"stream":"a@trade","data":{"e":"trade","E":1700000001003,"T":1700000001001,"s":"ABC","t":5,"p":"9.50","q":"3","X":"MARKET","m":true}}`
		coinm     = `1700000000000000002 {"stream":"a@bookTicker","data":{"u":8,"e":"bookTicker","s":"ABC","ps":"A","b":"1","B":"2","a":"3","A":"4","T":1700000001001,"E":1700000001001}}`
	)
	for _, tt := range []struct{ file, content, want string }{
		{"a.txt", spot, "binance-spot"},
		{"a.txt", usdm, "binance-usdm"},
		{"a.txt", usdmTrade, "binance-usdm"},
		{"a.txt", usdmTrade + "\n" + coinm, "binance-coinm"},
		{"binance-coinm-ABC-20240808.txt", usdmTrade, "binance-coinm"},
	} {
		found, err := inspect(filepath.Join(write(t, map[string]string{tt.file: tt.content}), tt.file))
		if err != nil {
			t.Fatal(err)
		}
		if got := found[0].venue; got != tt.want {
			t.Errorf("%s with %s: got %s, want %s", tt.file, tt.content, got, tt.want)
		}
	}
}

func TestBadLines(t *testing.T) {
	frame := func(data string) string { return "1700000000000000001 " + data }
	for _, tt := range []struct {
		parse func([]byte, *event) error
		lines []string
	}{
		{parseBinanceFrame, []string{
			`x`, `1700000000000000001`, `170000000000000000 {"a":1}`, `17000000000000000x1 {"a":1}`,
			frame(`{"stream":"a@trade","data":{"e":"trade"`),
			frame(`{"stream":"a@trade","data":{"e":"trade"}}`),
			frame(`{"stream":"a@trade","data":{"e":"trade","E":1,"s":"A","t":5,"p":"9.5","q":"3","T":1700000001001}}`),
			frame(`{"stream":"a@trade","data":{"e":"trade","s":"A","t":5,"p":"NaN","q":"3","T":1700000001001,"m":true}}`),
			frame(`{"stream":"a@trade","data":{"e":"trade","s":"A","t":5,"p":"9.5","q":"-3","T":1700000001001,"m":true}}`),
			frame(`{"stream":"a@trade","data":{"e":"trade","s":"A","t":5,"p":"0.0","q":"3","T":1700000001001,"m":true}}`),
			frame(`{"stream":"a@trade","data":{"e":"trade","s":"A","t":5,"p":"9.5","q":"3","T":1700000001001,"m":1}}`),
			frame(`{"stream":"a@trade","data":{"e":"trade","s":"A","t":-5,"p":"9.5","q":"3","T":1700000001001,"m":true}}`),
			frame(`{"stream":"a@trade","data":{"e":"trade","s":"A","t":5,"p":"9.5","q":"3","T":9999999999999,"m":true}}`),
			frame(`{"stream":"a@trade","data":{"e":"trade","s":"A" "t":5,"p":"9.5","q":"3","T":1700000001001,"m":true}}`),
			frame(`{"stream":"a@trade","data":{"e":"trade","s":"A","t":5,"p":"9.5","q":"3","T":1700000001001,"m":true}} }`),
			frame(`{"stream":"a@bookTicker","data":{"u":7,"s":"A","b":"1e999","B":"2","a":"3","A":"4"}}`),
			frame(`{"stream":"a@bookTicker","data":{"e":"bookTicker","u":7,"s":"A","b":"1","B":"2","a":"3"}}`),
		}},
		{parseBinanceTrade, []string{
			"", "1,2,3", "x,binance-spot,A,7,1700000001003,1700000001002,1,1,false",
			"1700000000000000001,binance-spot,A,7,1700000001003,1700000001002,1,1,maybe",
			"1700000000000000001,binance-spot,A,7,1700000001003,1700000001002,-1,1,true",
			"1700000000000000001,binance-spot,A,7,1700000001003,1700000001002,Inf,1,true",
			"1700000000000000001,binance-spot,A,,1700000001003,1700000001002,1,1,true",
			"1700000000000000001,binance-spot,A,7,1700000001003,1700000001002,1,1,true,",
		}},
		{parseBinanceQuote, []string{
			"1700000000000000001,binance-spot,A,7,,1,1,1",
			"1700000000000000001,binance-spot,A,7,,1,1,nan,1",
			"1700000000000000001,binance-spot,A,7,,1,1,,1",
			"1700000000000000001,binance-spot,A,7,,1,0x1p-2,1,1",
			"1700000000000000001,binance-spot,A,7,17,1,1,1,1",
		}},
		{parseGeminiTrade, []string{"1625097621.,1,1,1", "1625097621,1,1,2", "1625097621,1,1", ".5,1,1,1", "99999999999999999999,1,1,1"}},
		{parseGeminiQuote, []string{"1625097600,2271.58,2279.63_28", "1625097600,2271.58_1_1,2279.63_28", "1625097600,_1,1_1"}},
		{parseFX, []string{"3074,1.38756", "3074,1.38756,", "-1,1.3,1.3", "100000000,1.3,1.3", "3074,1.3,1.3,1.3"}},
	} {
		for _, line := range tt.lines {
			var ev event
			if err := tt.parse([]byte(line), &ev); err == nil || errors.Is(err, errSkip) {
				t.Errorf("%q was taken: %v %+v", line, err, ev)
			}
		}
	}
}

// fuzz holds that a line does no harm, and that what is taken is sane.
func fuzz(f *testing.F, parse func([]byte, *event) error, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var ev event
		if parse(line, &ev) != nil {
			return
		}
		numbers := []float64{ev.trade.Price, ev.trade.Size, ev.quote.BidPrice, ev.quote.BidSize, ev.quote.AskPrice, ev.quote.AskSize}
		for _, n := range numbers {
			if !(n >= 0 && n-n == 0) {
				t.Errorf("%q: a price or size of %v", line, n)
			}
		}
		if ev.time() < 0 || ev.key < 0 || ev.id < 0 {
			t.Errorf("%q: %+v", line, ev)
		}
	})
}

func FuzzBinanceFrame(f *testing.F) {
	fuzz(f, parseBinanceFrame,
		`1700000000000000001 {"stream":"a@trade","data":{"e":"trade","E":1700000001003,"s":"A","t":70,"p":"1","q":"2","T":1700000001002,"m":false,"M":true}}`,
		`1700000000000000001 {"stream":"a@bookTicker","data":{"e":"bookTicker","u":8,"s":"A","ps":"A","b":"9","B":"1","a":"9","A":"4","T":1700000001002,"E":1700000001009}}`,
		`1700000000000000001 {"data":{"u":7,"s":"A\u0042","b":1e3,"B":"2","a":"3","A":"4","x":[{"y":"]"}]},"stream":"a"}`,
		`1700000000000000001 {"lastUpdateId":1,"bids":[["1","2"]],"asks":[]}`)
}

func FuzzBinanceTrade(f *testing.F) {
	fuzz(f, parseBinanceTrade, "1700000000000000001,binance-spot,A,7,1700000001003,1700000001002,1.50,2,false")
}

func FuzzBinanceQuote(f *testing.F) {
	fuzz(f, parseBinanceQuote, "1700000000000000001,binance-spot,A,7,,1,2,3,4", "1700000000000000001,v,A,7,1700000001003,1,2,3,4")
}

func FuzzGeminiTrade(f *testing.F) {
	fuzz(f, parseGeminiTrade, "1625097621.647,2278.15,1e-06,1")
}

func FuzzGeminiQuote(f *testing.F) {
	fuzz(f, parseGeminiQuote, "1625097600,2271.58_1.6477,2279.63_28.479526")
}

func FuzzFX(f *testing.F) {
	fuzz(f, parseFX, "40.1868,1300.335,1300.799")
}
