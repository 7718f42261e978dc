package stream

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/subscribe"
)

// endForbidden ends what the token that the session has now does not allow, and says so.
// Wildcards stay, for what it does.
func (s *session) endForbidden() {
	gone := make(map[string]struct{})
	end := func(id subscribe.ID) {
		if t := s.view.in.tapeByID(id); !s.rights.allows(t.stream.Symbol, t.stream.Channel) {
			s.end(t)
			gone[t.stream.Symbol] = struct{}{}
		}
	}
	var named []subscribe.ID
	s.set.Each(func(id subscribe.ID) { named = append(named, id) })
	if s.asked != nil {
		named = slices.AppendSeq(named, maps.Keys(s.asked.streams))
	}
	for _, id := range named {
		end(id)
	}
	for _, ch := range market.AllChannels() {
		if !s.rights.allowsChannel(ch) && s.endAll(ch) {
			gone[market.Wildcard] = struct{}{}
		}
	}
	if len(gone) == 0 {
		return
	}
	s.refuse(nil, codec.CodeForbidden, "ended, since the new token does not allow it: "+list(slices.Sorted(maps.Keys(gone))))
}

// endExcess ends the names beyond what the token that the session has now allows, and says so.
// The first by name stay: a client can tell which those are without reading the message.
func (s *session) endExcess() {
	limit := s.symbolsMax()
	named := s.symbolsNamed()
	if len(named) <= limit {
		return
	}
	var names []string
	for id := range named {
		names = append(names, s.view.symbolOf(id))
	}
	slices.Sort(names)
	names = names[limit:]
	for _, name := range names {
		row, _ := s.view.in.lookup(name)
		for _, t := range row {
			s.unname(t)
		}
	}
	s.refuse(nil, codec.CodeTooManySymbols, fmt.Sprintf("ended, since the new token allows %d symbols: %s", limit, list(names)))
}

// unname ends what the session has of a stream by name. A wildcard, which no bound counts,
// covers it from then on.
func (s *session) unname(t *tape) {
	s.releaseStream(t.id)
	if all := s.askedAllOf(t.stream.Channel); all != nil {
		delete(all.ended, t.id)
		delete(all.named, t)
	}
	if s.asked != nil && s.asked.streams[t.id] != nil {
		delete(s.asked.streams, t.id)
		s.answered()
		s.view.unname(t.id)
	}
	if s.index().Unname(s, t.id) {
		s.view.unname(t.id)
	}
}

// list names the first of many.
func list(names []string) string {
	const shown = 20
	if n := len(names) - shown; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), n)
	}
	return strings.Join(names, ", ")
}
