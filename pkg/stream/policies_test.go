package stream_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

// summing is a token under which trades can only be summed up. With an interval that shows.
const summing = `{"policies":["aggregate"]}`

func (g guardedRig) wantsSum(c *client) {
	g.t.Helper()
	last := g.trades("A", 5)
	if sum := nextOf[market.Aggregate](c); sum.ToSeq != last || sum.Count != 5 {
		g.t.Errorf("got %+v, want the five trades up to %d", sum, last)
	}
}

func TestPolicyThatNobodyNamedIsOneOfTheToken(t *testing.T) {
	for name, symbols := range map[string]string{"by name": `["A"]`, "by wildcard": `["*"]`} {
		t.Run(name, func(t *testing.T) {
			g := newGuardedRig(t, stream.Config{})
			g.announce("A")
			c := g.enter(token(t, summing))
			c.begin(`"channels":["trade"],"interval_ms":50,"symbols":`+symbols, 1)
			g.wantsSum(c)
		})
	}
}

func TestPoliciesThatTheTokenDoesNotAllow(t *testing.T) {
	g := newGuardedRig(t, stream.Config{})
	g.announce("A")
	g.trade("A")
	tok := token(t, summing)
	c := g.enter(tok)
	for _, tt := range []struct {
		policy, symbols string
		code            codec.Code
	}{
		{"drop_oldest", `["A"]`, codec.CodeForbidden}, // the node's own default
		{"disconnect", `["*"]`, codec.CodeForbidden},
		{"conflate", `["A"]`, codec.CodeBadRequest}, // for no trade, whatever the token
	} {
		c.send(`{"op":"subscribe","id":1,"channels":["trade"],"policy":"` + tt.policy + `","symbols":` + tt.symbols + `}`)
		if e := nextOf[codec.Error](c); e.Code != tt.code {
			t.Errorf("%s: %+v", tt.policy, e)
		}
	}
	for _, symbols := range []string{`["A"]`, `["*"]`} { // no policy is left for quotes
		if a := c.subscribe(`"channels":["quote"],"symbols":` + symbols); len(a.Symbols) != 0 || len(a.Rejected) != 1 {
			t.Errorf("quotes of %s: %+v", symbols, a)
		}
	}
	if _, body := g.ask("/v1/symbols", tok); strings.TrimSpace(body) != `[{"symbol":"A","channels":["trade"]}]` {
		t.Errorf("symbols %s", body)
	}
	if status, _ := g.ask("/v1/snapshot?symbols=A&channels=quote", tok); status != http.StatusForbidden {
		t.Errorf("a snapshot of quotes: %d", status)
	}
	c.quiet("nothing was subscribed")
}

// A later token holds for the policies of what is subscribed.
func TestLaterTokenAllowsFewerPolicies(t *testing.T) {
	for name, symbols := range map[string]string{"by name": `["A"]`, "by wildcard": `["*"]`} {
		t.Run(name, func(t *testing.T) {
			g := newGuardedRig(t, stream.Config{})
			g.announce("A")
			c := g.enter(token(t, `{}`))
			c.begin(`"channels":["trade"],"interval_ms":50,"symbols":`+symbols, 1)
			g.trades("A", 2)
			for range 2 {
				nextOf[market.Trade](c)
			}
			c.mustAuthenticate(token(t, summing))
			g.wantsSum(c)
		})
	}
}
