package stream

import (
	"fmt"
	"time"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/subscribe"
)

// answersMax is how many times its budget a session's queue may hold when it asks for more:
// answers are never dropped, and the snapshots of a wildcard alone can be several.
const answersMax = 8

// The protocol leaves open how often stat events may be asked for.
const (
	statEveryMinMS = 10
	statEveryMaxMS = 3_600_000
)

// rejectedBytesMax bounds the names in an ack, so that it fits a batch whatever was asked.
const rejectedBytesMax = 200 << 10

// handle takes one request that the engine has read.
func (s *session) handle(req *codec.Request, bad *codec.RequestError) {
	if s.ending() {
		return
	}
	if s.passes(req, bad) {
		s.carryOut(req, bad)
	}
	if s.busy && s.queue.AnswerBytes() > answersMax*s.sh.cfg.PendingBytes {
		s.evict("asks and does not read the answers")
	}
}

func (s *session) carryOut(req *codec.Request, bad *codec.RequestError) {
	switch {
	case bad != nil:
		s.refuse(bad.ID, bad.Code, bad.Message)
	case s.rights.unproven() && req.Op != codec.OpAuth:
		s.refuse(req.ID, codec.CodeUnauthenticated, "an auth with a valid token comes first")
	case req.Op == codec.OpPing:
		s.sh.rec = codec.AppendPong(s.sh.rec[:0], req.ID, s.sh.wall)
		s.control(s.sh.rec)
	case req.Op == codec.OpAuth:
		s.authenticate(req)
	case req.Op == codec.OpStats:
		s.ack(&codec.Ack{ID: req.ID})
		s.stats = nil
		if req.EveryMS != 0 {
			every := min(max(req.EveryMS, statEveryMinMS), statEveryMaxMS) * int64(time.Millisecond)
			s.stats = &stats{every: every, due: s.sh.now + every, last: s.total}
			s.sh.timers.sooner(s, s.stats.due)
		}
	case req.Op == codec.OpSubscribe:
		s.subscribe(req)
	case req.Op == codec.OpUnsubscribe:
		s.unsubscribe(req)
	}
}

func (s *session) refuse(id *int64, code codec.Code, msg string) {
	s.sh.rec = codec.AppendError(s.sh.rec[:0], id, code, msg)
	s.control(s.sh.rec)
}

func (s *session) ack(a *codec.Ack) {
	s.sh.rec = codec.AppendAck(s.sh.rec[:0], a)
	s.control(s.sh.rec)
}

// optionsOf reads a request's options for each of its channels, or refuses it.
func (s *session) optionsOf(req *codec.Request) (opts [market.Channels]option, bad *codec.RequestError) {
	for _, ch := range req.Channels {
		o := option{policy: s.rights.policy(ch, s.sh.cfg.Policies[ch])}
		if req.Policy != "" {
			o.policy, _ = backpressure.ParsePolicy(req.Policy) // the codec knows the names
			if !o.policy.Allows(ch) {
				return opts, &codec.RequestError{Code: codec.CodeBadRequest, Message: fmt.Sprintf("policy %s is not for channel %s", o.policy, ch)}
			}
			if !s.rights.allowsPolicy(o.policy) {
				return opts, &codec.RequestError{Code: codec.CodeForbidden, Message: fmt.Sprintf("the token does not allow policy %s", o.policy)}
			}
		}
		if req.IntervalMS != nil {
			o.intervalMS = uint16(*req.IntervalMS)
		}
		opts[ch] = o
	}
	return opts, nil
}

func (s *session) subscribe(req *codec.Request) {
	opts, bad := s.optionsOf(req)
	if bad != nil {
		s.refuse(req.ID, bad.Code, bad.Message)
		return
	}
	if !s.view.in.anyKnown() {
		s.refuse(req.ID, codec.CodeNoUpstream, "no symbol is known yet")
		return
	}
	if req.Symbols[0] == market.Wildcard {
		s.subscribeWildcard(req, opts)
		return
	}

	rows := make([]*[market.Channels]*tape, 0, len(req.Symbols))
	ack := codec.Ack{ID: req.ID, Channels: req.Channels, Rejected: map[string]codec.Code{}}
	room := s.symbolRoom(len(req.Symbols))
	for _, symbol := range req.Symbols {
		row, ok := s.view.in.lookup(symbol)
		switch {
		case !s.rights.allowsAll(symbol, req.Channels): // whether it exists or not
			ack.Rejected[symbol] = codec.CodeForbidden
		case !ok:
			ack.Rejected[symbol] = codec.CodeUnknownSymbol
		case !room(row):
			ack.Rejected[symbol] = codec.CodeTooManySymbols
		default:
			rows = append(rows, row)
			ack.Symbols = append(ack.Symbols, symbol)
		}
	}
	if rejectedBytes(ack.Rejected) > rejectedBytesMax {
		s.refuse(req.ID, codec.CodeUnknownSymbol, fmt.Sprintf("%d symbols are refused, more than an answer can name; nothing is subscribed", len(ack.Rejected)))
		return
	}
	ack.SymbolsTotal = len(ack.Symbols)
	s.ack(&ack)
	s.set.Grow(len(rows) * len(req.Channels))
	for _, row := range rows {
		for _, ch := range req.Channels {
			s.subscribeOne(row[ch], opts[ch], req)
		}
	}
}

// rejectedBytes is the most that the map can take in JSON, where a byte may need six.
func rejectedBytes(rejected map[string]codec.Code) (n int) {
	for name := range rejected {
		n += len(name) + 10
		if market.CheckSymbol(name) != nil {
			n += 5 * len(name)
		}
	}
	return n
}

// symbolRoom returns a check that the symbol is named on this connection already, or fits.
// No more than more are asked about.
func (s *session) symbolRoom(more int) func(*[market.Channels]*tape) bool {
	limit := s.symbolsMax()
	if s.asked == nil && s.set.Len()+more <= limit {
		return func(*[market.Channels]*tape) bool { return true }
	}
	have := s.symbolsNamed()
	return func(row *[market.Channels]*tape) bool {
		id := firstOf(row[0].id)
		if _, ok := have[id]; !ok && len(have) >= limit {
			return false
		}
		have[id] = struct{}{}
		return true
	}
}

// firstOf stands for the symbol of the stream.
func firstOf(id subscribe.ID) subscribe.ID { return subscribe.MakeID(int(id>>2), 0) }

// symbolsNamed are the symbols that the session has named, each by firstOf.
func (s *session) symbolsNamed() map[subscribe.ID]struct{} {
	have := make(map[subscribe.ID]struct{})
	s.set.Each(func(id subscribe.ID) { have[firstOf(id)] = struct{}{} })
	if s.asked != nil {
		for id := range s.asked.streams {
			have[firstOf(id)] = struct{}{}
		}
		for _, all := range s.asked.all {
			if all != nil {
				for t := range all.named {
					have[firstOf(t.id)] = struct{}{}
				}
			}
		}
	}
	return have
}

// asks returns what the session has asked for, to be written to.
func (s *session) asks() *asked {
	if s.asked == nil {
		s.asked = &asked{streams: make(map[subscribe.ID]*option)}
	}
	return s.asked
}

// answered forgets what was asked for when nothing of it is under way any more.
func (s *session) answered() {
	if s.asked != nil && len(s.asked.streams) == 0 && s.asked.all == [market.Channels]*askedAll{} {
		s.asked = nil
	}
}

// subscribeOne asks for one stream, or changes its options if the session has it or is to
// get it.
func (s *session) subscribeOne(t *tape, opt option, req *codec.Request) {
	if s.asked != nil && s.asked.streams[t.id] != nil {
		*s.asked.streams[t.id] = opt
		return
	}
	all := s.askedAllOf(t.stream.Channel)
	coming := all != nil && !all.apart(t.id)
	if coming {
		all.rename(t, opt)
	}
	switch {
	case s.set.Has(t.id):
		s.releaseStream(t.id) // what the old interval held back
		s.rename(t, opt)
	case !coming:
		after, resume := req.After[t.stream]
		if !resume {
			after = fresh
		}
		s.askOne(t, opt, !req.NoSnapshot && !resume, after)
	}
}

// rename gives a stream that the session has options of its own.
func (s *session) rename(t *tape, opt option) {
	if s.add(t.id, opt) {
		s.view.name(t.id)
		s.view.in.want(t, s.sh.n, fresh, func(tail) {})
	}
}

// askOne asks for a stream that the session does not have.
func (s *session) askOne(t *tape, opt option, snapshot bool, after int64) {
	ask := &opt
	s.asks().streams[t.id] = ask
	s.view.name(t.id)
	s.view.in.want(t, s.sh.n, after, func(tl tail) { s.granted(ask, tl, snapshot, after) })
}

// granted begins the stream behind its tail, unless it has ended since it was asked for, and
// was perhaps asked for anew.
func (s *session) granted(ask *option, tl tail, snapshot bool, after int64) {
	t := tl.tape
	if s.asked == nil || s.asked.streams[t.id] != ask {
		return
	}
	delete(s.asked.streams, t.id)
	s.answered()
	if s.set.All(t.stream.Channel) {
		s.group.publishGathered() // some of it may be the wildcard's, which is about to lose the stream
	}
	s.begin(tl, snapshot, after)
	s.add(t.id, *ask)
	s.begins(t.id)
}

func (s *session) unsubscribe(req *codec.Request) {
	ack := codec.Ack{ID: req.ID, Channels: req.Channels, Rejected: map[string]codec.Code{}}
	if req.Symbols[0] == market.Wildcard {
		for _, ch := range req.Channels {
			if s.endAll(ch) {
				ack.Symbols = req.Symbols
			}
		}
	} else {
		for _, symbol := range req.Symbols {
			row, ok := s.view.in.lookup(symbol)
			had := false
			for _, ch := range req.Channels {
				if ok && s.rights.allows(symbol, ch) && s.end(row[ch]) {
					had = true
				}
			}
			if had {
				ack.Symbols = append(ack.Symbols, symbol)
			}
		}
	}
	ack.SymbolsTotal = len(ack.Symbols)
	s.ack(&ack)
}

// end ends one stream and reports whether the session had it.
func (s *session) end(t *tape) bool {
	s.releaseStream(t.id)
	coming := false
	if all := s.askedAllOf(t.stream.Channel); all != nil {
		coming = !all.apart(t.id) && s.rights.allows(t.stream.Symbol, t.stream.Channel)
		all.end(t.id)
	}
	if s.asked != nil && s.asked.streams[t.id] != nil {
		coming = true
		delete(s.asked.streams, t.id)
		s.answered()
		s.view.unname(t.id)
	}
	byName, byWildcard := s.index().Remove(s, t.id)
	if byName {
		s.view.unname(t.id)
	}
	return coming || byName || byWildcard
}
