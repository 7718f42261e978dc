package replay

import (
	"context"
	"errors"
	"strings"
)

// A name is what a recording calls an instrument.
type name struct{ venue, symbol string }

// shared finds the symbols that several venues of these files use. Where the files are of
// one venue there are none, and the files are not read. When ctx ends it knows only some.
func shared(ctx context.Context, files []*file) map[string]bool {
	venues := make(map[string]bool)
	for _, f := range files {
		venues[f.venue] = true
	}
	if len(venues) == 1 && !venues[""] {
		return nil
	}
	venueOf := make(map[string]string)
	several := make(map[string]bool)
	add := func(venue, symbol string) {
		switch v, ok := venueOf[symbol]; {
		case !ok:
			venueOf[symbol] = venue
		case v != venue:
			several[symbol] = true
		}
	}
	for _, f := range files {
		if f.symbol != "" {
			add(f.venue, f.symbol)
			continue
		}
		f.names(ctx, add)
	}
	return several
}

// names reads the whole file for the names in it. Damage is left to whoever plays it.
func (f *file) names(ctx context.Context, add func(venue, symbol string)) {
	l, err := openLines(f.path, f.entry)
	if err != nil {
		return
	}
	defer l.close()
	seen := make(map[string]struct{})
	var key []byte
	var ev event
	for l.number%4096 != 0 || ctx.Err() == nil {
		line, err := l.next()
		if err != nil && !errors.Is(err, errLong) {
			return
		}
		if err != nil || f.format.parse(line, &ev) != nil {
			continue
		}
		key = append(append(append(key[:0], ev.venue...), 0), ev.symbol...)
		if _, ok := seen[string(key)]; !ok {
			seen[string(key)] = struct{}{}
			n := f.nameOf(&ev)
			add(n.venue, n.symbol)
		}
	}
}

// nameOf returns the name of the event's instrument.
func (f *file) nameOf(ev *event) name {
	n := name{f.venue, f.symbol}
	if ev.venue != nil {
		n.venue = string(ev.venue)
	}
	if ev.symbol != nil {
		n.symbol = string(ev.symbol)
	}
	return n
}

// unique is the symbol under which the instrument is published.
func (n name) unique(several map[string]bool) string {
	if several[n.symbol] {
		return n.symbol + "." + strings.ToUpper(n.venue)
	}
	return n.symbol
}
