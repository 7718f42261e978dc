package bus

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tickcast/tickcast/pkg/market"
)

// ErrSubject reports a subject that no stream has.
var ErrSubject = errors.New("bus: not the subject of a stream")

const (
	tickPrefix      = "tick."
	directoryPrefix = "dir."
	allDirectory    = directoryPrefix + ">"
)

// Subject returns the NATS subject that carries s. Different streams have different subjects.
func Subject(s market.Stream) string {
	return tickPrefix + s.Channel.String() + "." + escape(s.Symbol)
}

// ParseSubject is the inverse of Subject: it fails with ErrSubject on anything that Subject
// does not return for a legal symbol.
func ParseSubject(subject string) (market.Stream, error) {
	rest, isTick := strings.CutPrefix(subject, tickPrefix)
	name, escaped, _ := strings.Cut(rest, ".")
	channel, known := market.ParseChannel(name)
	if !isTick || !known {
		return market.Stream{}, fmt.Errorf("%w: %q", ErrSubject, subject)
	}
	symbol, err := unescape(escaped)
	if err != nil {
		return market.Stream{}, fmt.Errorf("subject %q: %w", subject, err)
	}
	return market.Stream{Channel: channel, Symbol: symbol}, nil
}

func channelSubject(ch market.Channel) string { return tickPrefix + ch.String() + ".>" }

// fenceSubject is where Last publishes before it asks the store.
func fenceSubject(store string) string { return "fence." + store }

func directorySubject(symbol string) string { return directoryPrefix + escape(symbol) }

func parseDirectorySubject(subject string) (symbol string, err error) {
	escaped, ok := strings.CutPrefix(subject, directoryPrefix)
	if !ok {
		return "", fmt.Errorf("%w: %q", ErrSubject, subject)
	}
	return unescape(escaped)
}

func joinChannels(channels []market.Channel) string {
	names := make([]string, len(channels))
	for i, ch := range channels {
		names[i] = ch.String()
	}
	return strings.Join(names, ",")
}

// splitChannels leaves out names that it does not know: a newer feed may announce more.
func splitChannels(list string) []market.Channel {
	var channels []market.Channel
	for name := range strings.SplitSeq(list, ",") {
		if ch, ok := market.ParseChannel(name); ok {
			channels = append(channels, ch)
		}
	}
	return channels
}

const upperHex = "0123456789ABCDEF"

// plain bytes stand for themselves. The dot is none of them, so a symbol is always exactly one
// token of its subject and "BRK.B" cannot be taken for a level below "BRK".
func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

func escape(symbol string) string {
	odd := 0
	for i := range len(symbol) {
		if !plain(symbol[i]) {
			odd++
		}
	}
	if odd == 0 {
		return symbol
	}
	out := make([]byte, 0, len(symbol)+2*odd)
	for i := range len(symbol) {
		if c := symbol[i]; plain(c) {
			out = append(out, c)
		} else {
			out = append(out, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(out)
}

// unescape takes only what escape gives: %41, which is a plain A, and %2f, which is %2F, are
// faults. Were they not, one symbol would have several subjects.
func unescape(escaped string) (string, error) {
	out := make([]byte, 0, len(escaped))
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if plain(c) {
			out = append(out, c)
			continue
		}
		if c != '%' || i+2 >= len(escaped) {
			return "", fmt.Errorf("%w: bad escape at byte %d of %q", ErrSubject, i, escaped)
		}
		high, low := strings.IndexByte(upperHex, escaped[i+1]), strings.IndexByte(upperHex, escaped[i+2])
		if high < 0 || low < 0 || plain(byte(high<<4|low)) {
			return "", fmt.Errorf("%w: bad escape at byte %d of %q", ErrSubject, i, escaped)
		}
		out = append(out, byte(high<<4|low))
		i += 2
	}
	if err := market.CheckSymbol(string(out)); err != nil {
		return "", fmt.Errorf("%w: %w", ErrSubject, err)
	}
	return string(out), nil
}
