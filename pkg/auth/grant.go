package auth

import (
	"slices"
	"time"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/market"
)

// A Grant is what a valid token says. It never changes.
type Grant struct {
	Entitlement
	// Subject and ID are the token's sub and jti, empty if it has none.
	Subject, ID string
	// Holder is whose connections count together: the subject, or else the token itself.
	Holder string
	// Expires is when the token runs out, to the second; zero if it never does.
	Expires time.Time
}

// An Entitlement is what the holder of a token may have. The zero value allows nothing.
type Entitlement struct {
	// MaxSymbols and MaxConnections bound the symbols named on a connection and the holder's
	// connections to one node. math.MaxInt where the token sets no bound.
	MaxSymbols, MaxConnections int
	// MaxRateHz is how many batches a second a connection gets; 0 where the token does not say.
	MaxRateHz float64
	// Delay is how old everything is that the holder sees, in whole seconds.
	Delay time.Duration

	channels [market.Channels]bool
	symbols  patterns
	policies []backpressure.Policy // in the order of the token
}

// everyPolicy is what a token allows that names none. It is never written.
var everyPolicy = []backpressure.Policy{
	backpressure.Conflate, backpressure.DropOldest, backpressure.DropNewest, backpressure.Aggregate, backpressure.Disconnect,
}

// Allows says whether the stream of the symbol and channel may be seen.
func (e *Entitlement) Allows(symbol string, ch market.Channel) bool {
	return e.channels[ch] && e.symbols.match(symbol)
}

// AllowsChannel says whether some stream of the channel may be seen.
func (e *Entitlement) AllowsChannel(ch market.Channel) bool {
	return e.channels[ch] && e.symbols.some()
}

// AllowsPolicy says whether slow sessions may be given the policy.
func (e *Entitlement) AllowsPolicy(p backpressure.Policy) bool { return slices.Contains(e.policies, p) }

// Policy is what a stream of the channel gets for which none was named: usual, or else the first
// that the token allows for the channel. It matters only where AllowsChannel holds.
func (e *Entitlement) Policy(ch market.Channel, usual backpressure.Policy) backpressure.Policy {
	if e.AllowsPolicy(usual) {
		return usual
	}
	first, _ := e.policyFor(ch)
	return first
}

func (e *Entitlement) policyFor(ch market.Channel) (backpressure.Policy, bool) {
	for _, p := range e.policies {
		if p.Allows(ch) {
			return p, true
		}
	}
	return 0, false
}

// patterns are symbol names, exact or by prefix. Prefixes are looked up by each length that one
// has, so that a token of a thousand costs a map access per length and not a scan.
type patterns struct {
	all      bool
	exact    map[string]struct{}
	prefixes map[string]struct{}
	lengths  []int // of prefixes, each once
}

func (p *patterns) match(symbol string) bool {
	if p.all {
		return true
	}
	if _, ok := p.exact[symbol]; ok {
		return true
	}
	for _, n := range p.lengths {
		if n <= len(symbol) {
			if _, ok := p.prefixes[symbol[:n]]; ok {
				return true
			}
		}
	}
	return false
}

func (p *patterns) some() bool { return p.all || len(p.exact)+len(p.prefixes) > 0 }
