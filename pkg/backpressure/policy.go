package backpressure

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tickcast/tickcast/pkg/market"
)

// Policy says what gives way when a session's queue is full.
type Policy uint8

// The policies of the protocol.
const (
	Conflate   Policy = iota // the latest event of each stream stays
	DropOldest               // the newest events that fit stay; a gap tells what went
	DropNewest               // the oldest events that fit stay; a gap tells what was refused
	Aggregate                // one aggregate stands for the trades of each stream
	Disconnect               // everything stays until the budget is full
)

var policyNames = [...]string{"conflate", "drop_oldest", "drop_newest", "aggregate", "disconnect"}

// String returns the policy's name on the wire.
func (p Policy) String() string {
	if int(p) < len(policyNames) {
		return policyNames[p]
	}
	return fmt.Sprintf("Policy(%d)", uint8(p))
}

// ParsePolicy is the inverse of String.
func ParsePolicy(name string) (Policy, bool) {
	for p, n := range policyNames {
		if n == name {
			return Policy(p), true
		}
	}
	return 0, false
}

// Default returns the policy of a channel for which nobody asked for another.
func Default(ch market.Channel) Policy {
	if ch == market.ChannelTrade {
		return DropOldest
	}
	return Conflate
}

// Allows reports whether p has a meaning on ch: a trade is never superseded by the next,
// and only trades add up.
func (p Policy) Allows(ch market.Channel) bool {
	switch p {
	case Conflate:
		return ch != market.ChannelTrade
	case Aggregate:
		return ch == market.ChannelTrade
	}
	return true
}

// ParseDefaults reads "trade=drop_oldest,quote=conflate,bar=conflate", in any order. A
// channel that is not named keeps its [Default]. The error reports every problem.
func ParseDefaults(s string) ([market.Channels]Policy, error) {
	var out [market.Channels]Policy
	for _, ch := range market.AllChannels() {
		out[ch] = Default(ch)
	}
	if strings.TrimSpace(s) == "" {
		return out, nil
	}
	var errs []error
	var named [market.Channels]bool
	for pair := range strings.SplitSeq(s, ",") {
		left, right, _ := strings.Cut(pair, "=")
		ch, okChannel := market.ParseChannel(strings.TrimSpace(left))
		p, okPolicy := ParsePolicy(strings.TrimSpace(right))
		switch {
		case !okChannel:
			errs = append(errs, fmt.Errorf("%q: unknown channel", pair))
		case !okPolicy:
			errs = append(errs, fmt.Errorf("%q: unknown policy", pair))
		case !p.Allows(ch):
			errs = append(errs, fmt.Errorf("%q: %s is not for channel %s", pair, p, ch))
		case named[ch]:
			errs = append(errs, fmt.Errorf("%q: %s is named twice", pair, ch))
		default:
			out[ch], named[ch] = p, true
		}
	}
	return out, errors.Join(errs...)
}
