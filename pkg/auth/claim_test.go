package auth

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/market"
)

func TestWhatAClaimAllows(t *testing.T) {
	const trade, quote, bar = market.ChannelTrade, market.ChannelQuote, market.ChannelBar
	for _, tt := range []struct {
		name, claim, symbol string
		channel             market.Channel
		want                bool
	}{
		{"no claim", ``, "AAPL", trade, false},
		{"null", `null`, "AAPL", trade, false},
		{"an empty claim limits nothing", `{}`, "AAPL", bar, true},
		{"an exact name", `{"symbols":["AAPL"]}`, "AAPL", trade, true},
		{"another name", `{"symbols":["AAPL"]}`, "AAPLE", trade, false},
		{"a name in other letters", `{"symbols":["AAPL"]}`, "aapl", trade, false},
		{"a prefix", `{"symbols":["BTC-*"]}`, "BTC-USD", trade, true},
		{"the prefix itself", `{"symbols":["BTC-*"]}`, "BTC-", trade, true},
		{"less than the prefix", `{"symbols":["BTC-*"]}`, "BTC", trade, false},
		{"one of two prefixes", `{"symbols":["ETH-*","B*"]}`, "BTC", trade, true},
		{"all", `{"symbols":["*"]}`, "X", trade, true},
		{"no symbols", `{"symbols":[]}`, "AAPL", trade, false},
		{"no channels", `{"channels":[]}`, "AAPL", trade, false},
		{"a channel", `{"channels":["quote"]}`, "AAPL", quote, true},
		{"another channel", `{"channels":["quote"]}`, "AAPL", trade, false},
		{"a policy for the channel", `{"policies":["conflate"]}`, "AAPL", quote, true},
		{"no policy for the channel", `{"policies":["conflate"]}`, "AAPL", trade, false},
		{"no policies", `{"policies":[]}`, "AAPL", quote, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := parseClaim(json.RawMessage(tt.claim))
			if err != nil || e.Allows(tt.symbol, tt.channel) != tt.want {
				t.Errorf("%s allows %s of %s: %v, %v", tt.claim, tt.channel, tt.symbol, !tt.want, err)
			}
		})
	}
}

func TestLimitsOfAClaim(t *testing.T) {
	e, err := parseClaim(json.RawMessage(`{"max_symbols":5,"max_connections":0,"max_rate_hz":2.5,"delay_s":900}`))
	if err != nil || e.MaxSymbols != 5 || e.MaxConnections != 0 || e.MaxRateHz != 2.5 || e.Delay != 15*time.Minute {
		t.Errorf("got %+v, %v", e, err)
	}
	e, err = parseClaim(json.RawMessage(`{}`))
	if err != nil || e.MaxSymbols != math.MaxInt || e.MaxConnections != math.MaxInt || e.MaxRateHz != 0 || e.Delay != 0 {
		t.Errorf("what is missing is limited: %+v, %v", e, err)
	}
}

func TestPoliciesOfAClaim(t *testing.T) {
	for _, tt := range []struct {
		name, claim, channel, usual, want string
	}{
		{"not limited", `{}`, "trade", "drop_oldest", "drop_oldest"},
		{"the usual one is allowed", `{"policies":["disconnect","drop_oldest"]}`, "trade", "drop_oldest", "drop_oldest"},
		{"the first that is allowed", `{"policies":["drop_newest","disconnect"]}`, "trade", "drop_oldest", "drop_newest"},
		{"the first for the channel", `{"policies":["conflate","aggregate"]}`, "trade", "drop_oldest", "aggregate"},
		{"and for another", `{"policies":["aggregate","disconnect","conflate"]}`, "quote", "drop_oldest", "disconnect"},
	} {
		e, err := parseClaim(json.RawMessage(tt.claim))
		ch, _ := market.ParseChannel(tt.channel)
		usual, _ := backpressure.ParsePolicy(tt.usual)
		if got := e.Policy(ch, usual); err != nil || got.String() != tt.want || !e.AllowsPolicy(got) {
			t.Errorf("%s: got %s, want %s, %v", tt.name, got, tt.want, err)
		}
	}
}

func TestClaimsThatAreRefused(t *testing.T) {
	for _, claim := range []string{
		`[]`, `"*"`, `1`, `true`, `{"symbols":"*"}`, `{"symbols":null}`, `{"symbols":[null]}`, `{"symbols":[1]}`, `{"symbols":[""]}`,
		`{"symbols":["A*B"]}`, `{"symbols":["**"]}`, `{"symbols":["*A"]}`, `{"channels":["tape"]}`, `{"channels":{}}`,
		`{"max_symbols":-1}`, `{"max_symbols":1.5}`, `{"max_symbols":"1"}`, `{"max_connections":1e99}`, `{"max_connections":null}`,
		`{"max_rate_hz":0}`, `{"max_rate_hz":-1}`, `{"max_rate_hz":"9"}`, `{"delay_s":-1}`, `{"delay_s":1e9}`, `{"delay_s":true}`,
		`{"policies":["fast"]}`, `{"policies":"conflate"}`, `{"policies":null}`, `{"symbols":[],"symbols":["*"]}`,
		`{"symbol":["AAPL"]}`, `{"Symbols":["AAPL"]}`,
	} {
		if e, err := parseClaim(json.RawMessage(claim)); err == nil {
			t.Errorf("%s is taken", claim)
		} else if e.Allows("AAPL", market.ChannelTrade) {
			t.Errorf("%s is refused and allows", claim)
		}
	}
}

// The lookup agrees with reading the patterns one by one.
func TestPatternsAgreeWithTheirSlowTwin(t *testing.T) {
	name := rapid.StringOfN(rapid.SampledFrom([]rune("ABé-/")), 0, 5, -1)
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.Custom(func(t *rapid.T) string {
			s := name.Draw(t, "name")
			if s == "" || rapid.Bool().Draw(t, "starred") {
				s += "*"
			}
			return s
		})
		list := rapid.SliceOfN(pattern, 0, 6).Draw(t, "patterns")
		p, err := parsePatterns(must(json.Marshal(list)))
		if err != nil {
			t.Fatal(err)
		}
		symbol, want := name.Draw(t, "symbol"), false
		for _, pat := range list {
			prefix, starred := strings.CutSuffix(pat, "*")
			want = want || symbol == pat || starred && strings.HasPrefix(symbol, prefix)
		}
		if got := p.match(symbol); got != want {
			t.Fatalf("%q match %q: %v", list, symbol, got)
		}
	})
}

func TestAllowsIsCheap(t *testing.T) {
	e, err := parseClaim(json.RawMessage(`{"symbols":["AAPL","BTC-*","ETH/*"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { e.Allows("SOME OTHER", market.ChannelTrade) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzClaim(f *testing.F) {
	f.Add(`{"symbols":["AAPL","BTC-*"],"channels":["trade"],"max_symbols":5,"max_rate_hz":1,"delay_s":2}`, "AAPL")
	f.Add(`{"symbols":[],"channels":null}`, "*")
	f.Fuzz(func(t *testing.T, claim, symbol string) {
		e, err := parseClaim(json.RawMessage(claim))
		if e.Allows(symbol, market.ChannelQuote) && err != nil {
			t.Errorf("refused, and allows %q: %v", symbol, err)
		}
		if e.MaxSymbols < 0 || e.MaxConnections < 0 || e.Delay < 0 || e.Delay > DelayMax {
			t.Errorf("limits %+v", e)
		}
	})
}

func BenchmarkAllows(b *testing.B) {
	e, err := parseClaim(json.RawMessage(`{"symbols":["AAPL","BTC-*","ETH/*"]}`))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		e.Allows("ETH/USD", market.ChannelTrade)
	}
}
