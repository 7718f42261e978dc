package backpressure

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// A feeder is one stream of the property: its numbers, how the session wants it, and what
// of it is held.
type feeder struct {
	s      market.Stream
	id     uint32
	seq    int64
	policy Policy
	hold   bool
	held   []entry
}

// TestAccounting states the promise of the package: whatever happens to a queue and a
// hold, in whatever order, every tick comes out exactly once, as itself, in a gap, in an
// aggregate that is exact, or conflated, with a later one to show for it.
func TestAccounting(t *testing.T) {
	for _, enc := range []codec.Encoding{codec.MsgPack, codec.JSON} {
		t.Run(enc.String(), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) { checkAccounting(rt, enc) })
		})
	}
}

type session struct {
	*rapid.T
	q     Queue
	h     Hold
	w     *twin
	feeds []*feeder
	total Outcome
	now   int64
}

func checkAccounting(rt *rapid.T, enc codec.Encoding) {
	budget := rapid.SampledFrom([]int{0, 90, 400, 3000, 20_000}).Draw(rt, "budget")
	ss := &session{T: rt, w: newTwin()}
	ss.q.Init(enc, budget)
	ss.h.Init(enc, budget)
	for i := range rapid.IntRange(1, 5).Draw(rt, "streams") {
		ch := rapid.SampledFrom([]market.Channel{market.ChannelTrade, market.ChannelTrade, market.ChannelQuote, market.ChannelBar}).Draw(rt, "channel")
		f := &feeder{s: market.Stream{Channel: ch, Symbol: fmt.Sprintf("S%d", i)}, id: uint32(i), seq: 1}
		ss.w.tape(f.s)
		ss.options(f)
		ss.feeds = append(ss.feeds, f)
	}
	steps := map[string]func(*feeder){
		"push":    ss.push,
		"push2":   ss.push,
		"push3":   ss.push,
		"fill":    func(*feeder) { ss.fill(0) },
		"some":    func(*feeder) { ss.fill(rapid.IntRange(1, 6000).Draw(rt, "room")) },
		"little":  func(*feeder) { ss.fillLittle() },
		"hole":    func(f *feeder) { f.seq++ }, // of which nobody tells
		"lost":    ss.lost,
		"control": func(*feeder) { ss.q.Control(ss.w.control()) },
		"owed":    ss.backfill,
		"squeeze": func(*feeder) { ss.squeeze() },
		"trim":    func(*feeder) { ss.trim() },
		"ended":   ss.ended,
		"options": ss.options,
		"release": func(*feeder) { ss.release() },
	}
	names := []string{"push", "push2", "push3", "push", "push2", "push3", "fill", "some", "some", "little", "hole", "lost", "control", "owed", "squeeze", "trim", "ended", "options", "release"}
	for range rapid.IntRange(1, 120).Draw(rt, "steps") {
		f := rapid.SampledFrom(ss.feeds).Draw(rt, "stream")
		steps[rapid.SampledFrom(names).Draw(rt, "step")](f)
		ss.checkInside(&ss.q)
		ss.checkInside(&ss.h.q)
	}
	ss.release()
	for !ss.q.Empty() {
		ss.fill(0)
	}
	ss.fill(0)
	if err := ss.w.done(ss.total); err != nil {
		rt.Fatal(err)
	}
	if ss.q.Bytes() != 0 || ss.q.Over() || ss.q.st != nil || ss.h.Bytes() != 0 || ss.h.q.st != nil {
		rt.Fatalf("drained, but: queue %+v, hold %+v", ss.q, ss.h)
	}
}

func (ss *session) push(f *feeder) {
	n := rapid.IntRange(1, 12).Draw(ss.T, "ticks")
	c, events := testChunk(f.s, f.id, f.seq, n, rapid.IntRange(0, 60).Draw(ss.T, "wide"))
	f.seq += int64(n)
	ss.now++
	var log []entry
	for i, ev := range events {
		log = append(log, entry{event: ev, seq: c.First + int64(i), conflates: f.policy == Conflate})
	}
	if f.hold {
		f.held = append(f.held, log...)
		ss.total.Add(ss.h.Add(c, f.policy))
		return
	}
	ss.record(f, log)
	ss.total.Add(ss.q.Push(c, f.policy, ss.now))
}

// backfill queues trades that are owed: none of them may go.
func (ss *session) backfill(f *feeder) {
	if f.s.Channel != market.ChannelTrade {
		return // the others resume with their latest event
	}
	ss.releaseStream(f)
	n := rapid.IntRange(1, 40).Draw(ss.T, "ticks")
	c, events := testChunk(f.s, f.id, f.seq, n, 20)
	f.seq += int64(n)
	var log []entry
	for i, ev := range events {
		log = append(log, entry{event: ev, seq: c.First + int64(i), owed: true})
	}
	ss.record(f, log)
	ss.q.Backfill(c, ss.now)
}

// squeeze takes memory from the queue and gives it back.
func (ss *session) squeeze() {
	budget := ss.q.budget
	ss.total.Add(ss.q.Squeeze(rapid.IntRange(0, budget).Draw(ss.T, "squeezed")))
	ss.q.Relax(budget)
}

// trim frees storage, which nothing that waits may feel.
func (ss *session) trim() {
	before := ss.q.Footprint()
	ss.q.Trim()
	if after := ss.q.Footprint(); after > before {
		ss.Fatalf("trimmed from %d bytes to %d", before, after)
	}
	ss.h.Trim()
}

func (ss *session) record(f *feeder, log []entry) {
	tp := ss.w.tape(f.s)
	tp.entries = append(tp.entries, log...)
}

// lost leaves numbers out, as an upstream loss does.
func (ss *session) lost(f *feeder) {
	n := rapid.Int64Range(1, 9).Draw(ss.T, "lost")
	g := codec.Gap{Stream: f.s, From: f.seq, To: f.seq + n - 1, Reason: codec.ReasonUpstream}
	f.seq += n
	if f.hold {
		f.held = append(f.held, entry{event: g})
		ss.h.Gap(f.s, f.id, g.From, g.To, g.Reason)
		return
	}
	ss.record(f, []entry{{event: g}})
	ss.q.Gap(f.s, f.id, g.From, g.To, g.Reason)
}

// ended is an unsubscribe and a subscribe, with numbers that nobody missed between or not.
func (ss *session) ended(f *feeder) {
	ss.releaseStream(f)
	ss.q.Control(ss.w.control())
	f.seq += rapid.Int64Range(0, 3).Draw(ss.T, "between")
}

// options changes what the session wants of the stream.
func (ss *session) options(f *feeder) {
	ss.releaseStream(f)
	var ps []Policy
	for p := Conflate; p < Disconnect; p++ {
		if p.Allows(f.s.Channel) {
			ps = append(ps, p)
		}
	}
	f.policy = rapid.SampledFrom(ps).Draw(ss.T, "policy")
	f.hold = rapid.Bool().Draw(ss.T, "hold")
}

// passOn moves the stream's held entries to where its released ones are. Of the quotes and
// bars between two gaps only the last counts.
func (ss *session) passOn(f *feeder) {
	for i := range f.held {
		e := &f.held[i]
		last := i+1 == len(f.held) || f.held[i+1].seq == 0
		e.superseded = e.seq > 0 && f.s.Channel != market.ChannelTrade && !last
	}
	ss.record(f, f.held)
	f.held = nil
}

func (ss *session) releaseStream(f *feeder) {
	ss.now++
	ss.passOn(f)
	ss.total.Add(ss.h.ReleaseStream(f.id, &ss.q, ss.now))
}

func (ss *session) release() {
	ss.now++
	for _, f := range ss.feeds {
		ss.passOn(f)
	}
	ss.total.Add(ss.h.Release(&ss.q, ss.now))
	if !ss.h.Empty() || ss.h.Bytes() != 0 {
		ss.Fatalf("released, but %d bytes are held", ss.h.Bytes())
	}
}

func (ss *session) fill(room int) {
	events, err := fill(&ss.q, room)
	if err != nil {
		ss.Fatal(err)
	}
	for _, ev := range events {
		if err := ss.w.sees(ev); err != nil {
			ss.Fatal(err)
		}
	}
}

// fillLittle takes out a batch that is bounded to less than some events take alone.
func (ss *session) fillLittle() {
	var b codec.Batch
	b.Reset(ss.q.enc, nil)
	waited, bytesMax := !ss.q.Empty(), rapid.IntRange(0, 900).Draw(ss.T, "most")
	ss.q.Fill(&b, bytesMax)
	n := b.Len()
	if n == 0 && waited && !ss.q.Empty() {
		ss.Fatal("what waited did not move")
	}
	msg := b.Bytes()
	if n > 1 && len(msg) > bytesMax {
		ss.Fatalf("%d events make %d bytes, want at most %d", n, len(msg), bytesMax)
	}
	events, err := codec.DecodeBatch(ss.q.enc, msg)
	if err != nil {
		ss.Fatal(err)
	}
	for _, ev := range events {
		if err := ss.w.sees(ev); err != nil {
			ss.Fatal(err)
		}
	}
}

// checkInside holds the queue against what it says of itself.
func (ss *session) checkInside(q *Queue) {
	if q.st == nil {
		if q.bytes != 0 {
			ss.Fatalf("%d bytes in a queue at rest", q.bytes)
		}
		return
	}
	size, counted, at := 0, 0, int64(0)
	for _, it := range q.st.items[q.st.head:] {
		size += int(it.size)
		if !it.owed {
			counted += int(it.size)
		}
		if it.chunk != nil && int(it.size) != len(it.chunk.In(q.enc)) {
			ss.Fatalf("chunk of %d bytes counts %d", len(it.chunk.In(q.enc)), it.size)
		}
		if it.at != 0 && it.at < at {
			ss.Fatalf("%d waits behind %d", it.at, at)
		}
		at = max(at, it.at)
	}
	if size != q.bytes || counted != q.counted() {
		ss.Fatalf("%d bytes counted, %d of them against the budget; there are %d and %d", q.bytes, q.counted(), size, counted)
	}
}

// TestKeepsWhatFits states which ticks a queue that is never read keeps: drop_oldest the
// newest, drop_newest the oldest, and neither drops what would have fitted.
func TestKeepsWhatFits(t *testing.T) {
	for _, enc := range []codec.Encoding{codec.MsgPack, codec.JSON} {
		for _, policy := range []Policy{DropOldest, DropNewest} {
			t.Run(fmt.Sprintf("%v/%v", enc, policy), func(t *testing.T) {
				rapid.Check(t, func(rt *rapid.T) { checkKeeps(rt, enc, policy) })
			})
		}
	}
}

func checkKeeps(rt *rapid.T, enc codec.Encoding, policy Policy) {
	var q Queue
	q.Init(enc, rapid.IntRange(500, 5000).Draw(rt, "budget"))
	streams := rapid.IntRange(1, 4).Draw(rt, "streams")
	const wide = 20
	var pushed []string // ticks in the order of their push
	var seq [4]int64
	gaps, tick := 0, 0
	for range rapid.IntRange(1, 40).Draw(rt, "pushes") {
		i := rapid.IntRange(0, streams-1).Draw(rt, "stream")
		s := market.Stream{Symbol: fmt.Sprintf("S%d", i)}
		n := rapid.IntRange(1, 8).Draw(rt, "ticks")
		c, events := testChunk(s, uint32(i), seq[i]+1, n, wide)
		seq[i] += int64(n)
		for _, ev := range events {
			pushed = append(pushed, say([]codec.Event{ev}))
		}
		q.Push(c, policy, 1)
		tick = max(tick, len(c.From(c.Last).In(enc))+1)
		gaps = streams * int(q.gapBytes(s.Symbol))
		if q.Bytes() > q.budget+gaps {
			rt.Fatalf("%d bytes in a budget of %d", q.Bytes(), q.budget)
		}
	}
	kept, waited := map[string]bool{}, q.Bytes()
	events, err := fill(&q, 0)
	if err != nil {
		rt.Fatal(err)
	}
	for _, ev := range events {
		if _, gap := ev.(codec.Gap); !gap {
			kept[say([]codec.Event{ev})] = true
		}
	}
	if len(kept) == len(pushed) {
		return
	}
	least, from := q.budget/2-tick-gaps, len(pushed)-len(kept)
	if policy == DropNewest {
		least, from = q.budget-tick, 0
	}
	if waited < least {
		rt.Errorf("only %d of %d bytes waited", waited, q.budget)
	}
	for _, name := range pushed[from : from+len(kept)] {
		if !kept[name] {
			rt.Errorf("%s was dropped; %d of %v were kept", name, len(kept), pushed)
		}
	}
}
