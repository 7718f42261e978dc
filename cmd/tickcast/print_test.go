package main

import (
	"strings"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/client"
)

func TestLines(t *testing.T) {
	at := time.Date(2026, 3, 4, 15, 4, 5, 123e6, time.Local).UnixNano()
	trades := client.Stream{Channel: client.ChannelTrade, Symbol: "BTC/USD"}
	for _, tt := range []struct {
		name string
		ev   client.Event
		line string
	}{
		{"a trade", client.Trade{Symbol: "AAPL", Time: at, Price: 228.52, Size: 400, Side: client.SideBuy},
			"15:04:05.123  AAPL        trade  buy      228.52 x 400"},
		{"a trade of no known side", client.Trade{Symbol: "BTC/USD", Time: at, Price: 61799.99, Size: 0.0005},
			"15:04:05.123  BTC/USD     trade         61799.99 x 0.0005"},
		{"a quote", client.Quote{Symbol: "AAPL", Time: at, BidPrice: 228.51, BidSize: 300, AskPrice: 228.52, AskSize: 500},
			"15:04:05.123  AAPL        quote           228.51 x 300             228.52 x 500"},
		{"a bar", client.Bar{Symbol: "AAPL", Start: at, Open: 1, High: 4, Low: 0.5, Close: 2, Volume: 10, Trades: 3},
			"15:04:05.123  AAPL        bar                  1  high 4  low 0.5  close 2  volume 10 in 3 trades, forming"},
		{"a summary", client.Aggregate{Symbol: "AAPL", LastTime: at, Open: 1, High: 4, Low: 0.5, Close: 2, Volume: 10, Count: 3},
			"15:04:05.123  AAPL        sum                  1  high 4  low 0.5  close 2  volume 10 in 3 trades"},
		{"a snapshot", client.Snapshot{Stream: trades, Event: client.Trade{Symbol: "BTC/USD", Time: at, Price: 1, Size: 2, Side: client.SideSell}},
			"15:04:05.123  BTC/USD     trade  sell          1 x 2  (last)"},
		{"a stream without an event", client.Snapshot{Stream: trades},
			"              BTC/USD     trade      none yet"},
		{"a gap", client.Gap{Stream: trades, From: 5, To: 9, Reason: client.ReasonSlow},
			"              BTC/USD     trade      5 trades missed: this program or its line was too slow"},
		{"a gap of one", client.Gap{Stream: trades, From: 5, To: 5, Reason: client.ReasonUpstream},
			"              BTC/USD     trade      1 trade missed: lost before the node had them"},
		{"a reset", client.Gap{Stream: trades, From: 5, To: 1 << 50, Reason: client.ReasonReset},
			"              BTC/USD     trade      the feed began its numbers anew; nothing is missing"},
		{"a reason of a later version", client.Gap{Stream: trades, From: 5, To: 6, Reason: "moon\n"},
			`              BTC/USD     trade      2 trades missed: "moon\n"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &printer{decimals: make(map[string]int)}
			if got := p.line(tt.ev); got != tt.line {
				t.Errorf("got  %q\nwant %q", got, tt.line)
			}
			p.colour = true
			if got := p.line(tt.ev); strings.Count(got, "\x1b[0m")*2 != strings.Count(got, "\x1b[") {
				t.Errorf("a colour does not end: %q", got)
			}
		})
	}
}

func TestPricesOfASymbolStandInLine(t *testing.T) {
	p := &printer{decimals: make(map[string]int)}
	for _, tt := range []struct {
		symbol string
		price  float64
		want   string
	}{
		{"A", 61800, "      61800"},
		{"A", 61799.99, "   61799.99"},
		{"A", 61800, "   61800.00"},
		{"B", 5, "          5"},
		{"A", 1.0 / 3, "0.3333333333333333"},
		{"A", 61800.5, "   61800.50"},
	} {
		if got := p.price(tt.symbol, tt.price); got != tt.want {
			t.Errorf("%v of %s is %q, want %q", tt.price, tt.symbol, got, tt.want)
		}
	}
}

func TestSummary(t *testing.T) {
	began := time.Unix(0, 0)
	s := newSummary(began)
	const nothing = "nothing from 0 streams in 2s"
	if got := s.line(began.Add(2*time.Second), 0); got != nothing {
		t.Errorf("got %q, want %q", got, nothing)
	}
	for range 1200 {
		s.add(client.Trade{Symbol: "A"})
	}
	s.add(client.Snapshot{Stream: client.Stream{Channel: client.ChannelQuote, Symbol: "A"}, Event: client.Quote{Symbol: "A"}})
	s.add(client.Aggregate{Symbol: "B"})
	s.add(client.Gap{From: 1, To: 1500, Reason: client.ReasonSlow})
	s.add(client.Gap{From: 1, To: 1 << 50, Reason: client.ReasonReset})
	const full = "1,200 trades, 1 quotes, 1 summaries from 3 streams in 2.51s; 2 gaps, 1,500 events missed; connection lost 3 times"
	if got := s.line(began.Add(2510*time.Millisecond), 3); got != full || s.events != 1204 {
		t.Errorf("got %q (%d events), want %q", got, s.events, full)
	}
}
