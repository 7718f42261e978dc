package market

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestCheckSymbol(t *testing.T) {
	for _, tt := range []struct {
		name, symbol string
		legal        bool
	}{
		{"a stock", "AAPL", true},
		{"a share class", "BRK.B", true},
		{"a pair", "BTC/USD", true},
		{"a space inside", "ES Z5", true},
		{"a star inside", "A*", true},
		{"stars", "**", true},
		{"a name that is not ASCII", "日経225", true},
		{"U+FFFD, spelled out", "A\ufffd", true},
		{"one byte", "F", true},
		{"64 bytes", strings.Repeat("x", 64), true},
		{"65 bytes", strings.Repeat("x", 65), false},
		{"22 characters that are 66 bytes", strings.Repeat("日", 22), false},
		{"nothing", "", false},
		{"the wildcard", Wildcard, false},
		{"not UTF-8", "A\xff", false},
		{"half a character", "\xe6\x97", false},
		{"a NUL", "A\x00", false},
		{"a new line", "A\n", false},
		{"DEL", "A\x7f", false},
		{"a C1 control", "A\u0085", false},
		{"the character after those", "A\u00a0", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := CheckSymbol(tt.symbol)
			if (err == nil) != tt.legal || err != nil && !errors.Is(err, ErrSymbol) {
				t.Errorf("%q: %v", tt.symbol, err)
			}
		})
	}
}

func TestALegalSymbolIsShortTextWithoutControls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(
			rapid.String(),
			rapid.StringN(0, -1, 80),
			rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 6), func(b []byte) string { return string(b) }),
		).Draw(t, "symbol")
		want := len(s) >= 1 && len(s) <= SymbolBytesMax && s != "*" && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
		if err := CheckSymbol(s); (err == nil) != want {
			t.Fatalf("%q: %v", s, err)
		}
	})
}

func TestChannelsHaveTheNamesOfTheWire(t *testing.T) {
	var names []string
	for _, c := range AllChannels() {
		names = append(names, c.String())
		if back, ok := ParseChannel(c.String()); !ok || back != c {
			t.Errorf("%v reads back as %v, %v", c, back, ok)
		}
	}
	if want := []string{"trade", "quote", "bar"}; !slices.Equal(names, want) || len(names) != Channels {
		t.Errorf("got %v of %d, want %v", names, Channels, want)
	}
	for _, name := range []string{"", "Trade", "trades", "Channel(3)", "book"} {
		if c, ok := ParseChannel(name); ok {
			t.Errorf("%q is %v", name, c)
		}
	}
	if got := Channel(Channels).String(); got != "Channel(3)" {
		t.Errorf("a channel that is none is %q", got)
	}
}

func TestEveryCallerHasItsOwnChannels(t *testing.T) {
	AllChannels()[0] = ChannelBar
	if got := AllChannels()[0]; got != ChannelTrade {
		t.Errorf("the first channel became %v", got)
	}
}

func TestAStreamIsAKeyAndPrintsBoth(t *testing.T) {
	seqs := map[Stream]int64{{ChannelTrade, "BTC/USD"}: 1, {ChannelQuote, "BTC/USD"}: 2}
	if seqs[Stream{ChannelQuote, "BTC/USD"}] != 2 || len(seqs) != 2 {
		t.Errorf("got %v", seqs)
	}
	if got := (Stream{ChannelQuote, "BTC/USD"}).String(); got != "quote BTC/USD" {
		t.Errorf("got %q", got)
	}
}
