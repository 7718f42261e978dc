package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/market"
)

// DelayMax bounds delay_s: a node holds back in memory what a delay covers.
const DelayMax = 24 * time.Hour

// parseClaim reads the claim tickcast. What is missing is not limited. Any other field, a
// wrong type or a value that cannot be kept refuses the token: a limit that this node does not
// understand must not go unheeded. No claim at all, or null, lets its holder connect and see
// nothing.
func parseClaim(text json.RawMessage) (e Entitlement, err error) {
	e = Entitlement{MaxSymbols: math.MaxInt, MaxConnections: math.MaxInt}
	if len(text) == 0 || isNull(text) {
		return e, nil
	}
	e.symbols.all = true
	for ch := range e.channels {
		e.channels[ch] = true
	}
	e.policies = everyPolicy
	fields, err := members(text)
	if err != nil {
		return Entitlement{}, fmt.Errorf("tickcast: %w", err)
	}
	for name, value := range fields {
		if isNull(value) {
			err = errors.New("is null")
		} else {
			err = e.set(name, value)
		}
		if err != nil {
			return Entitlement{}, fmt.Errorf("tickcast.%.32q %w", name, err)
		}
	}
	for ch := range e.channels { // one that no policy is left for cannot be had
		_, some := e.policyFor(market.Channel(ch))
		e.channels[ch] = e.channels[ch] && some
	}
	return e, nil
}

func isNull(text json.RawMessage) bool { return string(bytes.TrimSpace(text)) == "null" }

func (e *Entitlement) set(name string, value json.RawMessage) (err error) {
	switch name {
	case "symbols":
		e.symbols, err = parsePatterns(value)
	case "channels":
		e.channels, err = parseChannels(value)
	case "policies":
		e.policies, err = parsePolicies(value)
	case "max_symbols":
		e.MaxSymbols, err = parseCount(value)
	case "max_connections":
		e.MaxConnections, err = parseCount(value)
	case "max_rate_hz":
		if json.Unmarshal(value, &e.MaxRateHz) != nil || e.MaxRateHz < 1e-3 || e.MaxRateHz > 1e9 {
			err = errors.New("is no number from 0.001 to 1e9")
		}
	case "delay_s":
		var s float64
		if json.Unmarshal(value, &s) != nil || s < 0 || s > DelayMax.Seconds() {
			return fmt.Errorf("is no number from 0 to %g", DelayMax.Seconds())
		}
		e.Delay = time.Duration(math.Ceil(s)) * time.Second
	default:
		err = errors.New("is unknown")
	}
	return err
}

func parseCount(value json.RawMessage) (int, error) {
	var n int64
	if json.Unmarshal(value, &n) != nil || n < 0 {
		return 0, errors.New("is no whole number from 0 on")
	}
	return int(min(n, math.MaxInt)), nil
}

// parseStrings refuses null in place of a string, which encoding/json takes for an empty one.
func parseStrings(value json.RawMessage) ([]string, error) {
	var list []*string
	if json.Unmarshal(value, &list) != nil || slices.Contains(list, nil) {
		return nil, errors.New("is no array of strings")
	}
	all := make([]string, len(list))
	for i, s := range list {
		all[i] = *s
	}
	return all, nil
}

func parseChannels(value json.RawMessage) (allowed [market.Channels]bool, err error) {
	names, err := parseStrings(value)
	if err != nil {
		return allowed, err
	}
	for _, name := range names {
		ch, ok := market.ParseChannel(name)
		if !ok {
			return allowed, fmt.Errorf("names an unknown channel %.32q", name)
		}
		allowed[ch] = true
	}
	return allowed, nil
}

func parsePolicies(value json.RawMessage) ([]backpressure.Policy, error) {
	names, err := parseStrings(value)
	if err != nil {
		return nil, err
	}
	all := make([]backpressure.Policy, len(names))
	for i, name := range names {
		p, ok := backpressure.ParsePolicy(name)
		if !ok {
			return nil, fmt.Errorf("names an unknown policy %.32q", name)
		}
		all[i] = p
	}
	return all, nil
}

// parsePatterns reads exact names, prefixes ("BTC-*") and "*". A star stands at the end or
// nowhere, so a symbol that holds one can be allowed by a prefix only.
func parsePatterns(value json.RawMessage) (p patterns, err error) {
	names, err := parseStrings(value)
	if err != nil {
		return p, err
	}
	p.exact, p.prefixes = make(map[string]struct{}), make(map[string]struct{})
	for _, name := range names {
		prefix, starred := strings.CutSuffix(name, market.Wildcard)
		switch {
		case name == "" || strings.Contains(prefix, market.Wildcard):
			return patterns{}, fmt.Errorf("holds %.80q: a name, with * as its last character or without", name)
		case !starred:
			p.exact[name] = struct{}{}
		case prefix == "":
			p.all = true
		default:
			p.prefixes[prefix] = struct{}{}
			if !slices.Contains(p.lengths, len(prefix)) {
				p.lengths = append(p.lengths, len(prefix))
			}
		}
	}
	return p, nil
}
