package stream

import (
	"maps"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/subscribe"
)

// askedAll is a wildcard that the session asked for and does not have yet.
type askedAll struct {
	opt   option
	ended map[subscribe.ID]struct{} // not begun by it: unsubscribed meanwhile, or asked for by name before
	named map[*tape]option          // begun by it, and named meanwhile
}

// askedAllOf is the channel's wildcard while it is under way, else nil.
func (s *session) askedAllOf(ch market.Channel) *askedAll {
	if s.asked == nil {
		return nil
	}
	return s.asked.all[ch]
}

func (a *askedAll) end(id subscribe.ID) {
	if a.ended == nil {
		a.ended = make(map[subscribe.ID]struct{})
	}
	a.ended[id] = struct{}{}
	maps.DeleteFunc(a.named, func(t *tape, _ option) bool { return t.id == id })
}

func (a *askedAll) apart(id subscribe.ID) bool {
	_, apart := a.ended[id]
	return apart
}

func (a *askedAll) rename(t *tape, opt option) {
	if a.named == nil {
		a.named = make(map[*tape]option)
	}
	a.named[t] = opt
}

// subscribeWildcard asks for all that the session may see of the channels, those left out of
// which it may see nothing. With none left the wildcard is rejected as a symbol would be.
func (s *session) subscribeWildcard(req *codec.Request, opts [market.Channels]option) {
	ack := codec.Ack{ID: req.ID, Channels: []market.Channel{}, Rejected: map[string]codec.Code{}}
	for _, ch := range req.Channels {
		if s.rights.allowsChannel(ch) {
			ack.Channels = append(ack.Channels, ch)
			ack.Symbols = req.Symbols
		}
	}
	if len(ack.Channels) == 0 {
		ack.Channels, ack.Rejected[market.Wildcard] = req.Channels, codec.CodeForbidden
		s.ack(&ack)
		return
	}
	s.ack(&ack)
	for _, ch := range ack.Channels {
		s.subscribeAll(ch, opts[ch], req)
	}
}

// subscribeAll asks for a whole channel. Streams of it that are under way by name stay so.
func (s *session) subscribeAll(ch market.Channel, opt option, req *codec.Request) {
	asked := s.asks()
	for id, ask := range asked.streams {
		if id.Channel() == ch {
			*ask = opt
		}
	}
	if all := asked.all[ch]; all != nil {
		all.opt, all.named = opt, nil
		for id := range all.ended { // what the first request is not to begin
			if t := s.view.in.tapeByID(id); asked.streams[id] == nil && !s.set.Has(id) && s.rights.allows(t.stream.Symbol, ch) {
				after, resume := req.After[t.stream]
				if !resume {
					after = fresh
				}
				s.askOne(t, opt, !req.NoSnapshot && !resume, after)
			}
		}
		return
	}
	all := &askedAll{opt: opt}
	for id := range asked.streams {
		if id.Channel() == ch {
			all.end(id)
		}
	}
	asked.all[ch] = all
	s.view.nameAll(ch)
	s.view.in.wantAll(ch, s.sh.n, req.After, func(tapes []tail) { s.grantedAll(ch, all, tapes, !req.NoSnapshot, req.After) })
}

// grantedAll begins every stream of the channel that the session does not have yet.
func (s *session) grantedAll(ch market.Channel, all *askedAll, tapes []tail, snapshot bool, after map[market.Stream]int64) {
	if s.askedAllOf(ch) != all {
		return // ended meanwhile
	}
	s.asked.all[ch] = nil
	s.answered()
	s.release(true)
	for _, tl := range tapes {
		if all.apart(tl.tape.id) || s.set.Has(tl.tape.id) || !s.rights.allows(tl.tape.stream.Symbol, ch) {
			continue
		}
		if at, ok := after[tl.tape.stream]; ok {
			s.begin(tl, false, at)
		} else {
			s.begin(tl, snapshot, fresh)
		}
	}
	if s.set.All(ch) {
		s.view.unnameAll(ch) // asked for again: one count is enough
	}
	for id := range all.ended {
		if opt, ok := s.index().OptionOf(s, id); ok {
			all.rename(s.view.in.tapeByID(id), opt) // granted by name meanwhile
			delete(all.ended, id)
		}
	}
	s.pushed = true
	s.index().AddAll(s, ch, all.opt, s.view.unname)
	for id := range all.ended {
		s.index().Remove(s, id)
	}
	for t, opt := range all.named {
		if s.rights.allows(t.stream.Symbol, ch) { // by a later token, too
			s.rename(t, opt)
		}
	}
}

// endAll ends every stream of the channel and reports whether the session had any.
func (s *session) endAll(ch market.Channel) (had bool) {
	s.release(true)
	if s.asked != nil {
		for id := range s.asked.streams {
			if id.Channel() == ch {
				delete(s.asked.streams, id)
				s.view.unname(id)
				had = true
			}
		}
		if s.asked.all[ch] != nil {
			s.asked.all[ch] = nil
			s.view.unnameAll(ch)
			had = true
		}
		s.answered()
	}
	if s.index().RemoveAll(s, ch, func(id subscribe.ID) { had = true; s.view.unname(id) }) {
		s.view.unnameAll(ch)
		had = true
	}
	return had
}
