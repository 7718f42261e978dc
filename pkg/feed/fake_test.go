package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

var errAway = errors.New("fake bus: away")

// A fakeBus remembers what is published, and follows it as a node would.
type fakeBus struct {
	t *testing.T

	mu          sync.Mutex
	away        bool // refuses everything
	swallow     bool // takes messages and loses them, as a connection about to break does
	noStore     bool // Last fails
	flushes     int
	announced   []string
	messages    []message
	headers     []map[string][]string
	last        map[market.Stream][]byte
	bodies      map[market.Stream][][]byte
	onReconnect func()
}

type message struct {
	stream      market.Stream
	first, last int64
	void        int64
	reset       int64
	bytes       int
}

func newFakeBus(t *testing.T) *fakeBus {
	return &fakeBus{t: t, last: make(map[market.Stream][]byte), bodies: make(map[market.Stream][][]byte)}
}

func (b *fakeBus) Publish(s market.Stream, body []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return errAway
	}
	if b.swallow {
		return nil
	}
	body = slices.Clone(body)
	c, reset, err := codec.ParseChunk(s, body)
	if err != nil {
		b.t.Errorf("published %v: %v", s, err)
		return nil
	}
	b.messages = append(b.messages, message{s, c.First, c.Last, c.Void, reset, len(body)})
	b.last[s] = body
	b.bodies[s] = append(b.bodies[s], body)
	return nil
}

func (b *fakeBus) PublishWith(s market.Stream, body []byte, header map[string][]string) error {
	b.mu.Lock()
	b.headers = append(b.headers, header)
	b.mu.Unlock()
	return b.Publish(s, body)
}

func (b *fakeBus) Announce(symbol string, channels []market.Channel) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return errAway
	}
	names := make([]string, len(channels))
	for i, ch := range channels {
		names[i] = ch.String()
	}
	b.announced = append(b.announced, symbol+": "+strings.Join(names, ","))
	return nil
}

func (b *fakeBus) Flush(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flushes++
	if b.away {
		return errAway
	}
	return nil
}

func (b *fakeBus) Last(_ context.Context, streams []market.Stream, yield func(market.Stream, []byte)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.noStore {
		return errors.New("fake bus: no store")
	}
	for _, s := range streams {
		if body := b.last[s]; body != nil {
			yield(s, body)
		}
	}
	return nil
}

func (b *fakeBus) OnReconnect(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onReconnect = f
}

// set changes the bus's state; coming back is told.
func (b *fakeBus) set(change func()) {
	b.mu.Lock()
	was := b.away || b.swallow
	change()
	is := b.away || b.swallow
	b.mu.Unlock()
	if was && !is {
		b.onReconnect()
	}
}

// story is what a node that was there from the start makes of the stream: "1-3 lost 2 6-6", with
// numbers counted from base; "void" where the feed said that no tick has those numbers. Repeats
// of what it has are left out.
func (b *fakeBus) story(s market.Stream, base int64) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var parts []string
	last := int64(0)
	for _, m := range b.messages {
		if m.stream != s || m.last <= last {
			continue
		}
		first := max(m.first, last+1)
		if n := len(parts); n > 0 && first == last+1 {
			from, _, _ := strings.Cut(parts[n-1], "-")
			parts[n-1] = fmt.Sprintf("%s-%d", from, m.last-base)
		} else {
			switch {
			case last > 0 && m.void > 0 && m.first-m.void == last+1:
				parts = append(parts, fmt.Sprintf("void %d", m.void))
			case last > 0:
				parts = append(parts, fmt.Sprintf("lost %d", first-last-1))
			}
			parts = append(parts, fmt.Sprintf("%d-%d", first-base, m.last-base))
		}
		last = m.last
	}
	return strings.Join(parts, " ")
}

// of returns the stream's messages.
func (b *fakeBus) of(s market.Stream) []message {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []message
	for _, m := range b.messages {
		if m.stream == s {
			list = append(list, m)
		}
	}
	return list
}

// count is how many messages and announcements there were; clear forgets them.
func (b *fakeBus) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.messages) + len(b.announced)
}

func (b *fakeBus) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages, b.announced = nil, nil
}

// A script is a source written as a function.
type script struct {
	live bool
	run  func(ctx context.Context, sink Sink) error
}

func (s script) Live() bool { return s.live }

func (s script) Run(ctx context.Context, sink Sink) error { return s.run(ctx, sink) }

var (
	trades = market.Stream{Channel: market.ChannelTrade, Symbol: "A"}
	quotes = market.Stream{Channel: market.ChannelQuote, Symbol: "A"}
	bars   = market.Stream{Channel: market.ChannelBar, Symbol: "A"}

	both = []market.Channel{market.ChannelTrade, market.ChannelQuote}
)

func aTrade(symbol string, at int64) *market.Trade {
	return &market.Trade{Symbol: symbol, Time: at, Price: 10, Size: 1, Side: market.SideBuy, ID: "x"}
}

func aQuote(symbol string, at int64) *market.Quote {
	return &market.Quote{Symbol: symbol, Time: at, BidPrice: 10, AskPrice: 11}
}
