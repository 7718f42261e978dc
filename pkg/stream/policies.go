package stream

import (
	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/market"
)

// allowsPolicy says whether the session may be given the policy when it is slow.
func (r *rights) allowsPolicy(p backpressure.Policy) bool {
	return r == nil || r.grant != nil && r.grant.AllowsPolicy(p)
}

// policy is what a stream of the channel gets for which the session names none.
func (r *rights) policy(ch market.Channel, usual backpressure.Policy) backpressure.Policy {
	if r == nil || r.grant == nil {
		return usual
	}
	return r.grant.Policy(ch, usual)
}

// keepToPolicies has what the session subscribes to go on under policies that its token allows.
func (s *session) keepToPolicies() {
	keep := func(ch market.Channel, opt option) option {
		if !s.rights.allowsPolicy(opt.policy) {
			opt.policy = s.rights.policy(ch, s.sh.cfg.Policies[ch])
		}
		return opt
	}
	s.index().Alter(s, keep)
	if s.asked == nil {
		return
	}
	for id, ask := range s.asked.streams {
		*ask = keep(id.Channel(), *ask)
	}
	for ch, all := range s.asked.all {
		if all != nil {
			all.opt = keep(market.Channel(ch), all.opt)
			for t, opt := range all.named {
				all.named[t] = keep(market.Channel(ch), opt)
			}
		}
	}
}
