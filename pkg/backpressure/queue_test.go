package backpressure

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// say spells events: the symbol and seq of a tick, the range of a gap or an aggregate.
func say(events []codec.Event) string {
	var words []string
	for _, ev := range events {
		switch ev := ev.(type) {
		case codec.Gap:
			words = append(words, fmt.Sprintf("%s%d-%d:%s", ev.Stream.Symbol, ev.From, ev.To, ev.Reason))
		case market.Aggregate:
			words = append(words, fmt.Sprintf("%s%d-%d:sum", ev.Symbol, ev.FromSeq, ev.ToSeq))
		case codec.Pong:
			words = append(words, "pong")
		default:
			s, seq := streamOf(ev)
			words = append(words, fmt.Sprintf("%s%d", s.Symbol, seq))
		}
	}
	return strings.Join(words, " ")
}

// A pusher pushes ticks one at a time, named by one letter per stream.
type pusher struct {
	q   Queue
	ch  market.Channel
	seq [256]int64
}

func newPusher(ch market.Channel, ticks int) *pusher {
	p := &pusher{ch: ch}
	c, _ := testChunk(market.Stream{Channel: ch, Symbol: "a"}, 'a', 1, 1, 0)
	p.q.Init(codec.MsgPack, ticks*len(c.Bytes))
	return p
}

func (p *pusher) push(letters string, policy Policy) (o Outcome) {
	for _, l := range []byte(letters) {
		if l == '|' {
			p.q.Control(codec.AppendPong(nil, nil, 1))
			continue
		}
		p.seq[l]++
		s := market.Stream{Channel: p.ch, Symbol: string(l)}
		c, _ := testChunk(s, uint32(l), p.seq[l], 1, 0)
		o.Add(p.q.Push(c, policy, p.seq[l]))
	}
	return o
}

func (p *pusher) drain(t *testing.T) string {
	t.Helper()
	events, err := fill(&p.q, 0)
	if err != nil {
		t.Fatal(err)
	}
	return say(events)
}

func TestPolicies(t *testing.T) {
	const trade, quote = market.ChannelTrade, market.ChannelQuote
	for _, tt := range []struct {
		name, push, want string // one letter a tick, same letter = same stream, | = a control record
		ch               market.Channel
		policy           Policy
		budget           int // ticks
		outcome          Outcome
	}{
		{"what fits is kept", "abab", "a1 b1 a2 b2", trade, DropOldest, 4, Outcome{}},
		{"drop oldest keeps the newest", "aaaaaaaaa", "a1-7:slow a8 a9", trade, DropOldest, 8, Outcome{Dropped: 7}},
		{"each stream has its own gap", "abababababa", "a1-5:slow b1-4:slow b5 a6", trade, DropOldest, 10, Outcome{Dropped: 9}},
		{"a gap does not cross a control record", "aa|aaaaaaa", "a1-2:slow pong a3-8:slow a9", trade, DropOldest, 8, Outcome{Dropped: 8}},
		{"drop newest keeps the oldest", "aaaaaa", "a1 a2 a3 a4 a5-6:slow", trade, DropNewest, 4, Outcome{Dropped: 2}},
		{"what is refused later extends the gap", "aaaabab", "a1 a2 a3 a4 b1-2:slow a5-5:slow", trade, DropNewest, 4, Outcome{Dropped: 3}},
		{"conflate keeps the last of each stream, in the place of the first", "ababa", "a3 b2", quote, Conflate, 4, Outcome{Conflated: 3}},
		{"a control record is not overtaken", "ab|ab", "pong a2 b2", quote, Conflate, 3, Outcome{Conflated: 2}},
		{"aggregate sums up each stream", "aabaa", "a1-4:sum b1", trade, Aggregate, 4, Outcome{Aggregated: 4}},
		{"an aggregate that waits is extended", "aabaaaa", "a1-6:sum b1", trade, Aggregate, 4, Outcome{Aggregated: 6}},
		{"disconnect says so", "aaaaa", "a1 a2 a3 a4", trade, Disconnect, 4, Outcome{Disconnect: true}},
		{"trades are not conflated", "aaaaaaaaa", "a1-7:slow a8 a9", trade, Conflate, 8, Outcome{Dropped: 7}},
		{"quotes are not aggregated", "aaaaa", "a5", quote, Aggregate, 4, Outcome{Conflated: 4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPusher(tt.ch, tt.budget)
			if o := p.push(tt.push, tt.policy); o != tt.outcome {
				t.Errorf("push %q: outcome %+v, want %+v", tt.push, o, tt.outcome)
			}
			if over := tt.outcome != (Outcome{}); p.q.Over() != over {
				t.Errorf("push %q: over is %v", tt.push, !over)
			}
			if got := p.drain(t); got != tt.want {
				t.Errorf("push %q: got %q, want %q", tt.push, got, tt.want)
			}
			if p.q.Bytes() != 0 || p.q.Over() {
				t.Errorf("drained: %d bytes, over %v", p.q.Bytes(), p.q.Over())
			}
		})
	}
}

func TestOneSlowStreamDoesNotCostTheOthers(t *testing.T) {
	p := newPusher(market.ChannelTrade, 16)
	p.push("aaaa", DropNewest)
	p.push("bbbbbbbbbb", DropOldest)
	p.push("ccc", Aggregate)
	if got, want := p.drain(t), "a1 a2 a3 a4 b1-7:slow b8 b9 b10 c1-3:sum"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A gap that has been sent is history: what is refused after it needs another.
func TestRefusedAfterItsGapWasSent(t *testing.T) {
	p := newPusher(market.ChannelTrade, 4)
	p.push("aaaab", DropNewest)
	for seq := int64(1); seq <= 20; seq++ {
		p.q.Gap(market.Stream{Symbol: "z"}, 'z', seq, seq, codec.ReasonUpstream)
	}
	four := p.q.budget
	events, err := fill(&p.q, four+eventBytesMax+1)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := say(events), "a1 a2 a3 a4 b1-1:slow"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	if o := p.push("b", DropNewest); o.Dropped != 1 || !p.q.Over() {
		t.Fatalf("outcome %+v, over %v: the queue should still refuse", o, p.q.Over())
	}
	if got, want := p.drain(t), "z20-20:upstream b2-2:slow"; !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want it to end in %q", got, want)
	}
}

func TestOverEndsBelowHalf(t *testing.T) {
	p := newPusher(market.ChannelTrade, 8)
	p.push("aaaaaaaaa", DropNewest)
	one := p.q.budget / 8
	for _, tt := range []struct {
		room int
		over bool
	}{{one, true}, {one, true}, {2 * one, true}, {2 * one, false}} {
		if !p.q.Over() {
			t.Fatalf("not over with %d of %d bytes", p.q.Bytes(), p.q.budget)
		}
		if _, err := fill(&p.q, tt.room); err != nil {
			t.Fatal(err)
		}
		if p.q.Over() != tt.over {
			t.Fatalf("over is %v with %d of %d bytes", p.q.Over(), p.q.Bytes(), p.q.budget)
		}
	}
	if o := p.push("a", DropNewest); o != (Outcome{}) {
		t.Errorf("a trade that fits again: %+v", o)
	}
}

// What must stay may take a queue over its budget, but that buys nothing for the rest once
// it has been sent.
func TestBudgetHoldsAgainAfterward(t *testing.T) {
	p := newPusher(market.ChannelQuote, 10)
	for l := byte('A'); l <= 'Z'; l++ {
		p.push(string(l), Conflate)
	}
	if p.q.Bytes() <= p.q.budget {
		t.Fatalf("%d of %d bytes: the latest quote of each stream should be there", p.q.Bytes(), p.q.budget)
	}
	if _, err := fill(&p.q, p.q.Bytes()-p.q.budget*2/3); err != nil {
		t.Fatal(err)
	}
	p.ch = market.ChannelTrade
	for range 30 {
		p.push("a", DropOldest)
		if p.q.Bytes() > p.q.budget {
			t.Fatalf("%d of %d bytes", p.q.Bytes(), p.q.budget)
		}
	}
}

func TestDisconnectTakesNoMore(t *testing.T) {
	p := newPusher(market.ChannelTrade, 1)
	if o := p.push("aa", Disconnect); !o.Disconnect {
		t.Fatalf("outcome %+v", o)
	}
	p.drain(t)
	if o := p.push("a", DropOldest); !o.Disconnect || !p.q.Empty() {
		t.Errorf("after disconnect: outcome %+v, empty %v", o, p.q.Empty())
	}
}

func TestVolumeThatNoFloatHolds(t *testing.T) {
	var q Queue
	q.Init(codec.MsgPack, 100)
	s := market.Stream{Symbol: "a"}
	for seq := int64(1); seq <= 4; seq++ {
		rec, err := codec.AppendTrade(nil, &market.Trade{Symbol: "a", Seq: seq, Price: 1, Size: 1.5e308})
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := codec.ParseChunk(s, rec)
		if err != nil {
			t.Fatal(err)
		}
		q.Push(c, Aggregate, 1)
	}
	events, err := fill(&q, 0)
	if got, want := say(events), "a1 a2 a3 a4"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// One chunk may be longer than any batch, most easily in JSON.
func TestLongChunk(t *testing.T) {
	for _, enc := range []codec.Encoding{codec.MsgPack, codec.JSON} {
		t.Run(enc.String(), func(t *testing.T) {
			var q Queue
			q.Init(enc, 16<<20)
			s := market.Stream{Symbol: "a],[b"}
			w := newTwin()
			tp := w.tape(s)
			q.Control(w.control())
			c, events := testChunk(s, 1, 1, 5000, 100)
			for i, ev := range events {
				tp.entries = append(tp.entries, entry{event: ev, seq: int64(i + 1)})
			}
			q.Push(c, DropOldest, 1)
			batches := 0
			for ; !q.Empty(); batches++ {
				got, err := fill(&q, 0)
				if err != nil {
					t.Fatal(err)
				}
				for _, ev := range got {
					if err := w.sees(ev); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := w.done(Outcome{}); err != nil {
				t.Error(err)
			}
			if most := len(c.In(enc))/codec.MaxBatchBytes + 2; batches > most || q.Bytes() != 0 {
				t.Errorf("%d batches, want at most %d; %d bytes left", batches, most, q.Bytes())
			}
		})
	}
}

func TestControlIsCopied(t *testing.T) {
	var q Queue
	q.Init(codec.MsgPack, 100)
	rec := codec.AppendPong(nil, nil, 7)
	q.Control(rec)
	clear(rec)
	if events, err := fill(&q, 0); err != nil || len(events) != 1 || events[0] != (codec.Pong{Time: 7}) {
		t.Errorf("got %+v, %v", events, err)
	}
}

func TestOldestAt(t *testing.T) {
	p := newPusher(market.ChannelTrade, 100)
	if at := p.q.OldestAt(); at != 0 {
		t.Errorf("empty: %d", at)
	}
	p.push("|aaa", DropOldest)
	if at := p.q.OldestAt(); at != 1 {
		t.Errorf("three waiting: %d, want 1", at)
	}
	if _, err := fill(&p.q, 80); err != nil {
		t.Fatal(err)
	}
	if at := p.q.OldestAt(); at != 2 {
		t.Errorf("two waiting: %d, want 2", at)
	}
}

func TestIdleQueueIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Queue{}); size > 64 {
		t.Errorf("a Queue takes %d bytes", size)
	}
	p := newPusher(market.ChannelTrade, 4)
	p.push("aaaaaaaa", DropOldest)
	p.drain(t)
	if p.q.st != nil {
		t.Error("a drained queue keeps its storage")
	}
}

// raceEnabled is set by race_test.go: the race detector has sync.Pool lose things on purpose.
var raceEnabled bool

func TestHealthySessionAllocatesNothing(t *testing.T) {
	var q Queue
	q.Init(codec.MsgPack, 1<<20)
	s := market.Stream{Symbol: "a"}
	c, _ := testChunk(s, 1, 1, 5, 0)
	buf := make([]byte, 0, codec.MaxBatchBytes)
	var b codec.Batch
	var now int64
	step := func() {
		for range 10 {
			now++
			q.Push(c, DropOldest, now)
		}
		b.Reset(codec.MsgPack, buf)
		q.Fill(&b, codec.MaxBatchBytes)
	}
	step()
	if n := testing.AllocsPerRun(1000, step); n > 0 && !raceEnabled {
		t.Errorf("%v allocations a step", n)
	}
}
