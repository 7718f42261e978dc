package bus

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tickcast/tickcast/pkg/market"
)

func TestSubjectNamesOneStream(t *testing.T) {
	for _, tt := range []struct {
		stream market.Stream
		want   string
	}{
		{trade("AAPL"), "tick.trade.AAPL"},
		{quote("BRK.B"), "tick.quote.BRK%2EB"},
		{bar("BTC/USD"), "tick.bar.BTC%2FUSD"},
		{trade("ABR$D"), "tick.trade.ABR%24D"},
		{trade("A B"), "tick.trade.A%20B"},
		{trade("*"), "tick.trade.%2A"},
		{trade(">"), "tick.trade.%3E"},
		{trade("é"), "tick.trade.%C3%A9"},
		{trade("%41"), "tick.trade.%2541"},
		{trade("A_b-9"), "tick.trade.A_b-9"},
	} {
		t.Run(tt.stream.Symbol, func(t *testing.T) {
			if got := Subject(tt.stream); got != tt.want {
				t.Errorf("got subject %q, want %q", got, tt.want)
			}
			if tt.stream.Symbol == market.Wildcard {
				return // no legal name, and so never parsed
			}
			if got, err := ParseSubject(tt.want); err != nil || got != tt.stream {
				t.Errorf("parsed: got %v, %v", got, err)
			}
		})
	}
}

func TestParseSubjectRefusesAllOtherForms(t *testing.T) {
	for _, tt := range []struct{ name, subject string }{
		{"empty", ""},
		{"no symbol", "tick.trade."},
		{"no channel", "tick.AAPL"},
		{"unknown channel", "tick.depth.AAPL"},
		{"another root", "dir.AAPL"},
		{"a level below", "tick.trade.BRK.B"},
		{"a wildcard", "tick.trade.*"},
		{"lower-case hex", "tick.trade.BTC%2fUSD"},
		{"escaped without need", "tick.trade.%41"},
		{"cut escape", "tick.trade.A%2"},
		{"not hex", "tick.trade.A%GG"},
		{"not UTF-8", "tick.trade.%C3"},
		{"control character", "tick.trade.%0A"},
		{"too long", "tick.trade." + strings.Repeat("A", market.SymbolBytesMax+1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := ParseSubject(tt.subject); !errors.Is(err, ErrSubject) {
				t.Errorf("got %v, %v, want ErrSubject", got, err)
			}
		})
	}
}

func anySymbol() *rapid.Generator[string] {
	return rapid.StringN(1, -1, market.SymbolBytesMax).Filter(func(s string) bool { return market.CheckSymbol(s) == nil })
}

func TestSubjectSurvivesTheWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := market.Stream{
			Channel: rapid.SampledFrom(market.AllChannels()).Draw(t, "channel"),
			Symbol:  anySymbol().Draw(t, "symbol"),
		}
		subject := Subject(want)
		if strings.Count(subject, ".") != 2 || strings.ContainsAny(subject, "*> \t\r\n") {
			t.Fatalf("%q is not three plain tokens", subject)
		}
		if got, err := ParseSubject(subject); err != nil || got != want {
			t.Fatalf("%q: got %v, %v, want %v", subject, got, err, want)
		}
		if got, err := parseDirectorySubject(directorySubject(want.Symbol)); err != nil || got != want.Symbol {
			t.Fatalf("directory: got %q, %v", got, err)
		}
	})
}

func FuzzParseSubject(f *testing.F) {
	for _, seed := range []string{"tick.trade.AAPL", "tick.quote.BRK%2EB", "dir.BTC%2FUSD", "tick.bar.%", "tick.trade.%2f"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		if s, err := ParseSubject(subject); err == nil && Subject(s) != subject {
			t.Errorf("%q gave %v, which is %q", subject, s, Subject(s))
		}
		if symbol, err := parseDirectorySubject(subject); err == nil && directorySubject(symbol) != subject {
			t.Errorf("%q gave %q, which is %q", subject, symbol, directorySubject(symbol))
		}
	})
}

func TestChannelsOfANewerFeedAreSkipped(t *testing.T) {
	for _, tt := range []struct{ list, want string }{
		{"trade,quote,bar", "trade,quote,bar"},
		{"trade,depth,bar", "trade,bar"},
		{"", ""},
	} {
		if got := joinChannels(splitChannels(tt.list)); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.list, got, tt.want)
		}
	}
}
