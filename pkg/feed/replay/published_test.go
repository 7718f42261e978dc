package replay

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/feed"
	"github.com/tickcast/tickcast/pkg/market"
)

// A bus that decodes what is published, and writes trades and quotes down by stream.
type bus struct {
	t  *testing.T
	mu sync.Mutex
	by map[market.Stream]*recorder
}

func (b *bus) PublishWith(s market.Stream, body []byte, _ map[string][]string) error {
	return b.Publish(s, body)
}

func (b *bus) Publish(s market.Stream, body []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, _, err := codec.ParseChunk(s, slices.Clone(body))
	if err != nil {
		b.t.Errorf("%v: %v", s, err)
		return nil
	}
	var batch codec.Batch
	batch.Reset(codec.MsgPack, nil)
	batch.Add(c.In(codec.MsgPack), c.N)
	events, err := codec.DecodeBatch(codec.MsgPack, batch.Bytes())
	if err != nil || len(events) != c.N {
		b.t.Errorf("%v: %d of %d events: %v", s, len(events), c.N, err)
	}
	if b.by[s] == nil {
		b.by[s] = new(recorder)
	}
	for _, ev := range events {
		switch ev := ev.(type) {
		case market.Trade:
			b.by[s].Trade(&ev)
		case market.Quote:
			b.by[s].Quote(&ev)
		}
	}
	return nil
}

func (b *bus) Announce(string, []market.Channel) error { return nil }
func (b *bus) Flush(context.Context) error             { return nil }
func (b *bus) OnReconnect(func())                      {}
func (b *bus) Last(context.Context, []market.Stream, func(market.Stream, []byte)) error {
	return nil
}

func TestWhatIsPrintedIsPublished(t *testing.T) {
	lines := []string{derivedTrades}
	for i := range int64(3000) {
		at := base/1e6 + i
		lines = append(lines, fmt.Sprintf("%d,binance-spot,%s,%d,%d,%d,%d.%08d,0.%08d,false", at*1e6, []string{"A", "B"}[i%2], i+1, at, at, i+1, i*12345, i+1))
	}
	dir := write(t, map[string]string{
		"a.csv.gz": join(lines...),
		"b.csv": join(derivedQuotes,
			"1700000000000000001,binance-spot,A,7,,0.1,0.2,0.30000000,123456789.12345678",
			"1700000000001000001,binance-spot,A,8,,0.1,0,0.3,1e-08"),
	})
	direct, _, _ := play(t, dir, Config{})
	want := make(map[market.Stream][]string)
	for _, l := range direct.lines {
		s := market.Stream{Channel: market.ChannelTrade, Symbol: l[2:3]}
		if l[0] == 'q' {
			s.Channel = market.ChannelQuote
		}
		want[s] = append(want[s], l)
	}

	source, err := New(dir, Config{}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	b := &bus{t: t, by: make(map[market.Stream]*recorder)}
	if err := feed.New(source, b, feed.Config{}, zap.NewNop()).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for s, lines := range want {
		sameLines(t, b.by[s].lines, lines)
	}
}
