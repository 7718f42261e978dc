package stream_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

// narrow is what the tests' subscriber may see: trades and quotes of A and of what begins with B-.
const narrow = `{"symbols":["A","B-*"],"channels":["trade","quote"]}`

func TestForbiddenSymbolsAreRejectedByName(t *testing.T) {
	g := newGuardedRig(t, stream.Config{})
	g.announce("A", "B-1", "C")
	c := g.enter(token(t, narrow))
	for _, tt := range []struct {
		name, fields, symbols, rejected string
	}{
		{"known or not, forbidden is forbidden", `"channels":["trade"],"symbols":["A","C","NONE","B-NONE"]`, "[A]", "map[B-NONE:4404 C:4403 NONE:4403]"},
		{"a forbidden channel", `"channels":["bar"],"symbols":["A"]`, "[]", "map[A:4403]"},
		{"a forbidden channel beside one that is not", `"channels":["quote","bar"],"symbols":["A"]`, "[]", "map[A:4403]"},
		{"with after", `"channels":["trade"],"symbols":["C"],"after":{"trade":{"C":1}}`, "[]", "map[C:4403]"},
		{"the wildcard of a forbidden channel", `"channels":["bar"],"symbols":["*"]`, "[]", "map[*:4403]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c.send(`{"op":"subscribe","id":7,"snapshot":false,` + tt.fields + `}`)
			a := nextOf[codec.Ack](c)
			if got := fmt.Sprint(a.Symbols); got != tt.symbols {
				t.Errorf("symbols %s, want %s", got, tt.symbols)
			}
			if got := fmt.Sprint(a.Rejected); got != tt.rejected {
				t.Errorf("rejected %s, want %s", got, tt.rejected)
			}
		})
	}
	g.trade("C")
	g.quote("A")
	seq := g.trade("A")
	if tr := nextOf[market.Trade](c); tr.Symbol != "A" || tr.Seq != seq {
		t.Errorf("got %+v", tr)
	}
}

func TestWildcardIsWhatTheTokenAllows(t *testing.T) {
	bothEncodings(t, func(t *testing.T, enc codec.Encoding) {
		g := newGuardedRig(t, stream.Config{})
		g.announce("A", "B-1", "C")
		g.trade("A")
		g.trade("C")
		narrowed, whole := g.dial(enc), g.dial(enc)
		narrowed.mustAuthenticate(token(t, narrow))
		whole.mustAuthenticate(token(t, `{}`))
		a := narrowed.subscribe(`"channels":["trade","bar"],"symbols":["*"],"after":{"trade":{"C":0}}`)
		if fmt.Sprint(a.Channels, a.Symbols, len(a.Rejected)) != "[trade] [*] 0" {
			t.Errorf("ack %+v", a)
		}
		for range 2 {
			if s := nextOf[codec.Snapshot](narrowed); s.Stream.Symbol == "C" {
				t.Errorf("a snapshot of %v", s.Stream)
			}
		}
		whole.begin(`"channels":["trade"],"symbols":["*"]`, 3)

		want := []string{"A", "B-2", "B-1"} // B-2 and D are new
		for _, symbol := range []string{"C", "A", "D", "B-2", "C", "B-1"} {
			g.trade(symbol)
			if tr := nextOf[market.Trade](whole); tr.Symbol != symbol {
				t.Errorf("who may see all got %+v, want %s", tr, symbol)
			}
		}
		for _, symbol := range want {
			if tr := nextOf[market.Trade](narrowed); tr.Symbol != symbol {
				t.Errorf("got a trade of %s, want %s", tr.Symbol, symbol)
			}
		}
		narrowed.send(`{"op":"unsubscribe","id":9,"channels":["trade"],"symbols":["A","C","D"]}`)
		if a := nextOf[codec.Ack](narrowed); fmt.Sprint(a.Symbols) != "[A]" {
			t.Errorf("unsubscribe tells of %v", a.Symbols)
		}
	})
}

func TestTokenWithoutAClaimAllowsNothing(t *testing.T) {
	g := newGuardedRig(t, stream.Config{})
	g.announce("A")
	for _, claim := range []string{`null`, `{"symbols":[]}`, `{"channels":[]}`} {
		tok := token(t, claim)
		c := g.enter(tok)
		for _, symbols := range []string{`["A"]`, `["*"]`} {
			if a := c.subscribe(`"channels":["trade"],"symbols":` + symbols); len(a.Symbols) != 0 || len(a.Rejected) != 1 {
				t.Errorf("%s, %s: %+v", claim, symbols, a)
			}
		}
		if status, body := g.ask("/v1/symbols", tok); status != 200 || strings.TrimSpace(body) != "[]" {
			t.Errorf("%s: symbols %d %s", claim, status, body)
		}
		if status, _ := g.ask("/v1/snapshot?symbols=A", tok); status != http.StatusForbidden {
			t.Errorf("%s: snapshot %d", claim, status)
		}
	}
}

func TestPagesKeepToTheToken(t *testing.T) {
	g := newGuardedRig(t, stream.Config{})
	g.announce("A", "B-1", "C")
	for _, symbol := range []string{"A", "C"} {
		g.trade(symbol)
		g.quote(symbol)
	}
	tok := token(t, narrow)
	const both = `["trade","quote"]`
	for _, tt := range []struct {
		name, path, token string
		status            int
		want              string // "" = whatever
	}{
		{"symbols", "/v1/symbols", tok, 200, `[{"symbol":"A","channels":` + both + `},{"symbol":"B-1","channels":` + both + `}]`},
		{"symbols without a token", "/v1/symbols", "", 401, ""},
		{"symbols with a bad one", "/v1/symbols", "x", 401, ""},
		{"symbols with a token in the URL", "/v1/symbols?token=" + tok, "", 401, ""},
		{"a snapshot without a token", "/v1/snapshot?symbols=A", "", 401, ""},
		{"a forbidden one beside", "/v1/snapshot?symbols=C,A&channels=trade,bar", tok, 200, `[["t","A",1,1000,1.25,1,"b","1"]]`},
		{"all channels", "/v1/snapshot?symbols=A", tok, 200, `[["t","A",1,1000,1.25,1,"b","1"],["q","A",1,1,1,2,3,4]]`},
		{"a forbidden symbol", "/v1/snapshot?symbols=C", tok, 403, ""},
		{"a forbidden symbol that there is not", "/v1/snapshot?symbols=NONE", tok, 403, ""},
		{"a forbidden channel", "/v1/snapshot?symbols=A&channels=bar", tok, 403, ""},
		{"an unknown symbol", "/v1/snapshot?symbols=B-NONE,C", tok, 404, "unknown symbol B-NONE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body := g.ask(tt.path, tt.token)
			if status != tt.status || tt.want != "" && strings.TrimSpace(body) != tt.want {
				t.Errorf("%d %s\nwant %d %s", status, body, tt.status, tt.want)
			}
		})
	}
}

// An address that asks for pages without end is told to wait, and nobody else is.
func TestPagesOfAnAddress(t *testing.T) {
	r := newRig(t, stream.Config{PageRequestsPerSecond: 1, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	ask := func(path, client string) *http.Response {
		req, err := http.NewRequest(http.MethodGet, "http"+strings.TrimPrefix(r.url, "ws")+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", client)
		resp, err := pages.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp
	}
	for _, path := range []string{"/v1/symbols", "/v1/snapshot?symbols=A", "/nothing", "//v1/symbols"} {
		r.await("a refusal", func() bool {
			resp := ask(path, "192.0.2.1")
			return resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "1"
		})
	}
	if got := ask("/v1/symbols", "192.0.2.2").StatusCode; got != http.StatusOK {
		t.Errorf("another client: %d", got)
	}
	r.dial(codec.JSON).quiet("the stream has bounds of its own")
	if counter(t, r, "tickcast_page_requests_refused_total") < 2 {
		t.Error("refusals are not counted")
	}
}

func TestSymbolsOfAToken(t *testing.T) {
	g := newGuardedRig(t, stream.Config{MaxSymbols: 3})
	g.announce("A", "B", "C", "D")
	c := g.enter(token(t, `{"max_symbols":2}`))
	a := c.subscribe(`"channels":["trade"],"symbols":["A","B","C"],"snapshot":false`)
	if len(a.Symbols) != 2 || a.Rejected["C"] != codec.CodeTooManySymbols {
		t.Errorf("got %+v", a)
	}
	c.mustAuthenticate(token(t, `{"max_symbols":9}`))
	a = c.subscribe(`"channels":["trade"],"symbols":["C","D"],"snapshot":false`)
	if len(a.Symbols) != 1 || a.Rejected["D"] != codec.CodeTooManySymbols {
		t.Errorf("the node's own bound: %+v", a)
	}
}

// A later token takes the place of the one before, for what is subscribed too.
func TestLaterTokenAllowsLess(t *testing.T) {
	g := newGuardedRig(t, stream.Config{})
	g.announce("A", "B-1", "C")
	c, w := g.enter(token(t, `{}`)), g.enter(token(t, `{}`))
	c.begin(`"channels":["trade","bar"],"symbols":["A","C"]`, 4)
	w.begin(`"channels":["trade"],"symbols":["*"]`, 3)
	w.begin(`"channels":["bar"],"symbols":["*"]`, 3)
	for _, who := range []*client{c, w} {
		who.mustAuthenticate(token(t, narrow))
		if e := nextOf[codec.Error](who); e.ID != nil || e.Code != codec.CodeForbidden {
			t.Errorf("got %+v", e)
		}
	}
	g.trade("C")
	g.trade("A")
	for _, who := range []*client{c, w} {
		if tr := nextOf[market.Trade](who); tr.Symbol != "A" {
			t.Errorf("got %+v", tr)
		}
	}
	w.mustAuthenticate(token(t, `{}`))
	seq := g.trade("C")
	if tr := nextOf[market.Trade](w); tr.Symbol != "C" || tr.Seq != seq {
		t.Errorf("a wildcard that is wide again: %+v", tr)
	}
	c.quiet("C was ended")
}

// A later token with room for fewer symbols keeps the first by name; all channels of the others
// end, whatever the order in which they were named.
func TestLaterTokenAllowsFewerSymbols(t *testing.T) {
	g := newGuardedRig(t, stream.Config{})
	g.announce("A", "B", "C", "D")
	c := g.enter(token(t, `{}`))
	c.begin(`"channels":["trade","quote"],"symbols":["D","B"]`, 4)
	c.begin(`"channels":["trade"],"symbols":["C","A"]`, 2)
	c.mustAuthenticate(token(t, `{"max_symbols":2}`))
	e := nextOf[codec.Error](c)
	if e.ID != nil || e.Code != codec.CodeTooManySymbols || !strings.HasSuffix(e.Message, ": C, D") {
		t.Errorf("got %+v", e)
	}
	g.quote("D")
	for _, symbol := range []string{"D", "C"} {
		g.trade(symbol)
	}
	for _, symbol := range []string{"B", "A"} {
		g.trade(symbol)
		if tr := nextOf[market.Trade](c); tr.Symbol != symbol {
			t.Errorf("got %+v, want a trade of %s", tr, symbol)
		}
	}
	if a := c.subscribe(`"channels":["trade"],"symbols":["A","C"],"snapshot":false`); len(a.Symbols) != 1 || a.Rejected["C"] != codec.CodeTooManySymbols {
		t.Errorf("a third symbol: %+v", a)
	}
	c.mustAuthenticate(token(t, `{"max_symbols":2}`))
	c.quiet("two symbols are allowed, and two are named")
}

// Names under a wildcard count, the wildcard does not: it covers again what they were for.
func TestLaterTokenAllowsFewerSymbolsUnderAWildcard(t *testing.T) {
	g := newGuardedRig(t, stream.Config{})
	g.announce("A", "B")
	c := g.enter(token(t, `{}`))
	c.begin(`"channels":["trade"],"symbols":["*"]`, 2)
	c.begin(`"channels":["trade"],"symbols":["A","B"]`, 0)
	c.begin(`"channels":["quote"],"symbols":["B"]`, 1)
	c.mustAuthenticate(token(t, `{"max_symbols":1}`))
	if e := nextOf[codec.Error](c); e.Code != codec.CodeTooManySymbols || !strings.HasSuffix(e.Message, ": B") {
		t.Errorf("got %+v", e)
	}
	g.quote("B")
	for _, symbol := range []string{"B", "A"} {
		if seq, tr := g.trade(symbol), nextOf[market.Trade](c); tr.Symbol != symbol || tr.Seq != seq {
			t.Errorf("got %+v, want trade %d of %s", tr, seq, symbol)
		}
	}
	c.quiet("quotes of B had no wildcard")
}

// What was asked for and is not there yet counts, too.
func TestLaterTokenAllowsFewerSymbolsThanAreUnderWay(t *testing.T) {
	g := newGuardedRig(t, stream.Config{})
	g.announce("A", "B", "C")
	c := g.enter(token(t, `{}`))
	c.send(`{"op":"subscribe","id":1,"channels":["trade"],"symbols":["C","B","A"]}`)
	c.send(`{"op":"auth","id":2,"token":"` + token(t, `{"max_symbols":1}`) + `"}`)
	for told, begun := false, false; !told || !begun; {
		switch ev := c.next().(type) {
		case codec.Error:
			if told = true; ev.Code != codec.CodeTooManySymbols || !strings.HasSuffix(ev.Message, ": B, C") {
				t.Errorf("got %+v", ev)
			}
		case codec.Snapshot:
			begun = begun || ev.Stream.Symbol == "A"
			if told && ev.Stream.Symbol != "A" {
				t.Errorf("%v begins after its end", ev.Stream)
			}
		}
	}
	for _, symbol := range []string{"C", "B", "A"} {
		g.trade(symbol)
	}
	if tr := nextOf[market.Trade](c); tr.Symbol != "A" {
		t.Errorf("got %+v", tr)
	}
	c.quiet("B and C were ended")
}

// A later token's pace holds at once: its ack does not wait for the turn that the one before had.
func TestLaterTokenAllowsAnotherRate(t *testing.T) {
	g := newGuardedRig(t, stream.Config{BatchEvery: -1})
	g.announce("A")
	const seldom = `{"max_rate_hz":0.001}` // its second batch would come after a quarter of an hour
	c := g.enter(token(t, seldom))
	c.mustAuthenticate(token(t, `{"max_rate_hz":10000}`))
	c.begin(`"channels":["trade"],"symbols":["A"]`, 1)
	g.trade("A")
	nextOf[market.Trade](c)
	c.mustAuthenticate(token(t, seldom))
	c.send(`{"op":"ping","id":6}`) // the pong has to wait, and what is behind it
	c.mustAuthenticate(token(t, `{}`))
	seq := g.trade("A")
	if tr := nextOf[market.Trade](c); tr.Seq != seq {
		t.Errorf("got %+v, want %d", tr, seq)
	}
}
