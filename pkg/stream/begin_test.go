package stream

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// TestAGrantWithinAWindowBeginsBehindIt states that who is given a stream in the middle of a
// window gets what comes after the grant, and that everybody else gets the whole window as if
// nobody had come.
func TestAGrantWithinAWindowBeginsBehindIt(t *testing.T) {
	h := newHandShard(t, Config{})
	there := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A")
	comes := h.subscriber(codec.MsgPack, backpressure.DropOldest)
	had, got := there.s.total, comes.s.total
	h.publish("A", 3)
	h.inbox.put(item{tape: h.tape("A"), do: func() {
		comes.s.add(h.tape("A").id, option{policy: backpressure.DropOldest})
		comes.s.begins(h.tape("A").id)
	}})
	h.publish("A", 2)
	h.step()
	if n, batches := there.s.total.events-had.events, there.s.total.batches-had.batches; n != 5 || batches != 1 {
		t.Errorf("who was there got %d events in %d messages, want 5 in 1", n, batches)
	}
	if n := comes.s.total.events - got.events; n != 2 {
		t.Errorf("who came got %d events, want 2", n)
	}
	h.publish("A", 4)
	h.step()
	if n := comes.s.total.events - got.events; n != 6 {
		t.Errorf("who came got %d events by the next window, want 6", n)
	}
}

// TestAHistoryKeepsEverySeq: however messages are gathered into chunks, a history gives the
// seqs of what came since its first one, views stay as they are, and what it weighs is known.
func TestAHistoryKeepsEverySeq(t *testing.T) {
	stream := market.Stream{Channel: market.ChannelTrade, Symbol: "A"}
	rapid.Check(t, func(t *rapid.T) {
		var h history
		var came []past
		kept := 0
		seq := int64(1)
		for at := range rapid.Int64Range(1, 80).Draw(t, "messages") {
			p := past{at: at}
			if rapid.Bool().Draw(t, "still told") && len(came) > 0 {
				p.reset = came[len(came)-1].reset
			}
			if rapid.IntRange(0, 9).Draw(t, "hole") == 0 {
				seq += 5
				p.reset = 0
				if rapid.Bool().Draw(t, "never used") {
					p.reset = seq - 1
				}
			}
			var body []byte
			for range rapid.SampledFrom([]int{1, 3, 20, 80}).Draw(t, "ticks") {
				body, _ = codec.AppendTrade(body, &market.Trade{Symbol: "A", Seq: seq, Time: seq, Price: 1, Size: 1})
				seq++
			}
			var err error
			if p.chunk, _, err = codec.ParseChunk(stream, body); err != nil {
				t.Fatal(err)
			}
			kept += h.add(p, 20)
			came = append(came, p)
			if rapid.IntRange(0, 3).Draw(t, "look") == 0 {
				view := h.from(1)
				before := seqsOf(view)
				defer func() {
					if got := seqsOf(view); !slices.Equal(got, before) {
						t.Fatalf("a view became %v, was %v", got, before)
					}
				}()
			}
			if rapid.IntRange(0, 20).Draw(t, "trim") == 0 {
				kept -= h.trim(at / 2)
			}
			if p := h.newest(); p.chunk.Last != seq-1 || p.at != at {
				t.Fatalf("the newest is %d of %d, want %d of %d", p.chunk.Last, p.at, seq-1, at)
			}
		}
		first, reset := h.first().chunk.First, h.resetBefore()
		held, want := h.from(first), 0
		for i := range held {
			want += held[i].bytes()
		}
		if kept != want {
			t.Fatalf("%d bytes counted, %d kept", kept, want)
		}
		older := slices.IndexFunc(came, func(p past) bool { return p.chunk.First >= first })
		if got, want := seqsOf(held), seqsOf(came[older:]); !slices.Equal(got, want) {
			t.Fatalf("%v are held from %d on, want %v", got, first, want)
		}
		resets := make(map[int64]int64) // by the first seq behind them
		for _, p := range came {
			resets[p.chunk.First] = p.reset
		}
		for i, p := range held {
			if p.reset != resets[p.chunk.First] || i == 0 && reset < p.reset {
				t.Fatalf("from %d on, %d is the last number never used, want %d; before all %d", p.chunk.First, p.reset, resets[p.chunk.First], reset)
			}
		}
	})
}

// seqsOf lists the runs of seqs, ends included.
func seqsOf(list []past) (runs [][2]int64) {
	for _, p := range list {
		if n := len(runs); n > 0 && runs[n-1][1]+1 == p.chunk.First {
			runs[n-1][1] = p.chunk.Last
		} else {
			runs = append(runs, [2]int64{p.chunk.First, p.chunk.Last})
		}
	}
	return runs
}
