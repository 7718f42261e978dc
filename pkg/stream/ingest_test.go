package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"pgregory.net/rapid"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// A venue is an upstream in fake time, and the feed that publishes on it: one trade stream.
type venue struct {
	wrong  []string // what broke the rules
	stream market.Stream
	seq    int64 // the newest number given
	reset  int64 // numbers up to here were never given since the last time they were
	lost   map[int64]bool

	in      *ingest
	shard   []item
	running sync.WaitGroup
	end     context.CancelFunc

	mu     sync.Mutex
	stored []publication
	away   bool // the store does not answer
	absent bool // nothing is stored
	lag    time.Duration
	asked  int
}

type publication struct {
	at   time.Time
	body []byte
}

func newVenue(cfg Config) *venue {
	cfg.Log = zap.NewNop()
	cfg = cfg.withDefaults()
	v := &venue{stream: market.Stream{Channel: market.ChannelTrade, Symbol: "A"}, lost: make(map[int64]bool)}
	v.in = newIngest(v, &cfg, newClock(), func(_ int, items []item) { v.shard = append(v.shard, items...) })
	ctx, cancel := context.WithCancel(context.Background())
	v.end = cancel
	v.running.Go(func() { _ = v.in.run(ctx) })
	v.in.announced("A", []market.Channel{market.ChannelTrade})
	return v
}

func (v *venue) fail(format string, args ...any) {
	v.wrong = append(v.wrong, fmt.Sprintf(format, args...))
}

func (v *venue) close() {
	v.end()
	v.running.Wait()
}

// Run, Subscribe and the rest make it an Upstream; what is published is delivered by hand.
func (v *venue) Run(ctx context.Context, _ func(string, []byte, map[string][]string), _ func(), _ func(string, []market.Channel), _ func(string)) error {
	<-ctx.Done()
	return nil
}

func (v *venue) Subject(s market.Stream) string { return s.String() }
func (v *venue) ParseSubject(string) (market.Stream, error) {
	return market.Stream{}, errors.New("never published for")
}
func (v *venue) Subscribe(market.Stream) error      { return nil }
func (v *venue) Unsubscribe(market.Stream)          {}
func (v *venue) SubscribeAll(market.Channel) error  { return nil }
func (v *venue) UnsubscribeAll(market.Channel)      {}
func (v *venue) Lost() (reconnects, dropped uint64) { return 0, 0 }
func (v *venue) Connected() (now, ever bool)        { return true, true }
func (v *venue) Known() bool                        { return true }
func (v *venue) visible(now time.Time) (all []publication) {
	for _, m := range v.stored {
		if !m.at.Add(v.lag).After(now) {
			all = append(all, m)
		}
	}
	return all
}

func (v *venue) Last(_ context.Context, streams []market.Stream, yield func(market.Stream, []byte)) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.away {
		return errors.New("away")
	}
	if all := v.stored; slices.Contains(streams, v.stream) && len(all) > 0 && !v.absent { // behind a fence: no lag
		yield(v.stream, all[len(all)-1].body)
	}
	return nil
}

func (v *venue) History(ctx context.Context, s market.Stream, since time.Time, yield func([]byte) bool) (absent bool, err error) {
	v.mu.Lock()
	v.asked++
	away, all := v.away, v.visible(time.Now())
	v.mu.Unlock()
	time.Sleep(5 * time.Millisecond)
	switch {
	case v.absent:
		return true, nil
	case away:
		<-ctx.Done()
		return false, ctx.Err()
	}
	for _, m := range all {
		if !m.at.Before(since) && !yield(m.body) {
			break
		}
	}
	return false, nil
}

// publish gives numbers to n trades, which make one message.
func (v *venue) publish(n int, store, deliver bool) {
	var body []byte
	if v.reset > 0 {
		body = codec.AppendGap(body, v.stream, 1, v.reset, codec.ReasonReset)
	}
	first := v.seq + 1
	for range n {
		v.seq++
		var err error
		if body, err = codec.AppendTrade(body, &market.Trade{Symbol: "A", Seq: v.seq, Price: 1, Size: 1, ID: fmt.Sprint(v.seq)}); err != nil {
			v.fail("%v", err)
		}
	}
	if store {
		v.mu.Lock()
		v.stored = append(v.stored, publication{time.Now(), body})
		v.mu.Unlock()
	}
	if deliver {
		v.in.message(v.stream.String(), slices.Clone(body), nil)
		v.in.idle()
	}
	for seq := first; !store && !deliver && seq <= v.seq; seq++ {
		v.lost[seq] = true
	}
}

// restart is a feed that cannot know its numbers: it begins beyond them.
func (v *venue) restart() {
	v.reset = v.seq + 1_000_000
	v.seq = v.reset
}

// A reader holds what a session is sent to the accounting rule.
type reader struct {
	v     *venue
	begun bool
	next  int64
	gaps  []gap
	got   int
}

func (v *venue) subscribe(after int64) *reader {
	r := &reader{v: v}
	t := v.in.symbols["A"][market.ChannelTrade]
	v.in.want(t, 0, after, func(tl tail) {
		r.begun, r.next = true, tl.last+1
		if after != fresh && after < tl.last {
			r.next = after + 1
			tl.walk(after, r.tick, r.gap)
		}
		if tl.last == 0 {
			r.next = 0 // whatever comes is the first
		} else if r.next != tl.last+1 {
			v.fail("resumed through %d, want %d", r.next-1, tl.last)
		}
	})
	return r
}

func (r *reader) tick(c *codec.Chunk) {
	if c.First != r.next && r.next != 0 {
		r.v.fail("seq %d, want %d", c.First, r.next)
	}
	if _, _, err := codec.ParseChunk(r.v.stream, c.Bytes); err != nil {
		r.v.fail("%v", err)
	}
	r.next = c.Last + 1
	r.got += c.N
}

func (r *reader) gap(g gap) {
	if g.from != r.next && r.next != 0 || g.to < g.from {
		r.v.fail("gap %+v, want from %d", g, r.next)
	}
	r.next = g.to + 1
	r.gaps = append(r.gaps, g)
}

// turn is the shard's: it gives what has come to the readers, in order.
func (v *venue) turn(readers []*reader) {
	synctest.Wait()
	v.in.mu.Lock()
	items := v.shard
	v.shard = nil
	v.in.mu.Unlock()
	for _, it := range items {
		if it.do != nil {
			it.do()
			continue
		}
		for _, r := range readers {
			switch {
			case !r.begun:
			case it.chunk != nil:
				r.tick(it.chunk)
			default:
				r.gap(*it.gap)
			}
		}
	}
}

// A step of a script: what happens, and how much.
type step struct{ kind, n, back int }

func TestEveryNumberReachesEveryReaderOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := Config{History: 5 * time.Second, HistoryBytes: rapid.SampledFrom([]int{0, 5_000}).Draw(rt, "bytes")}
		lag := rapid.SampledFrom([]time.Duration{0, 50 * time.Millisecond}).Draw(rt, "lag")
		script := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{rapid.IntRange(0, 14).Draw(rt, "kind"), rapid.IntRange(1, 5).Draw(rt, "n"), rapid.IntRange(-2, 30).Draw(rt, "back")}
		}), 1, 60).Draw(rt, "script")
		var wrong []string
		synctest.Test(t, func(t *testing.T) { wrong = playScript(cfg, lag, script) })
		if len(wrong) > 0 {
			rt.Fatal(wrong)
		}
	})
}

func playScript(cfg Config, lag time.Duration, script []step) (wrong []string) {
	v := newVenue(cfg)
	defer v.close()
	v.lag = lag
	var readers []*reader
	whole, resets := true, 0 // the store had all that was published; how often the numbers began anew
	for _, s := range script {
		switch s.kind {
		default:
			v.publish(s.n, true, true)
		case 0, 1:
			v.publish(s.n, true, false) // lost on its way to the node
		case 2:
			v.publish(s.n, false, false) // lost on its way out of the feed
		case 3:
			time.Sleep(time.Duration(s.n) * 20 * time.Millisecond)
		case 4:
			time.Sleep(time.Duration(s.n) * time.Second)
		case 5:
			readers = append(readers, v.subscribe(fresh))
		case 6, 7:
			readers = append(readers, v.subscribe(max(0, v.seq-int64(s.back))))
		case 8:
			v.in.lostSome("test")
		case 9:
			v.mu.Lock()
			v.away = !v.away
			v.mu.Unlock()
			whole = false
		case 10:
			v.mu.Lock()
			v.stored = v.stored[min(s.n, len(v.stored)):]
			v.mu.Unlock()
			whole = false
		case 11:
			if resets == 0 {
				v.restart()
				resets++
			}
		}
		v.turn(readers)
	}
	v.mu.Lock()
	v.away = false
	v.mu.Unlock()
	v.publish(1, true, true)
	time.Sleep(resumeFor + searchFor)
	v.turn(readers)
	for i, r := range readers {
		if !r.begun || r.next != v.seq+1 {
			v.fail("reader %d: begun %v, got through %d of %d", i, r.begun, r.next-1, v.seq)
		}
		for _, g := range r.gaps {
			if g.reason == codec.ReasonReset && (v.reset == 0 || g.to > v.reset) {
				v.fail("reader %d: gap %+v, numbers began anew behind %d", i, g, v.reset)
			}
			for seq := g.from; whole && resets == 0 && seq <= g.to; seq++ {
				if !v.lost[seq] {
					v.fail("reader %d: gap %+v over %d, which the store has", i, g, seq)
				}
			}
		}
	}
	if v.in.kept > v.in.limits.bytes {
		v.fail("%d bytes of history, want %d at the most", v.in.kept, v.in.limits.bytes)
	}
	return v.wrong
}
