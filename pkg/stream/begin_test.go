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
		h.begins(comes.s, h.tape("A").id)
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

// TestFoldKeepsEverySeq: whatever comes and whenever it is folded, a history gives the same
// seqs as one that is not, and knows the same of numbers that were never used.
func TestFoldKeepsEverySeq(t *testing.T) {
	stream := market.Stream{Channel: market.ChannelTrade, Symbol: "A"}
	rapid.Check(t, func(t *rapid.T) {
		var folds, plain history
		kept := 0
		seq := int64(1)
		for at := range rapid.Int64Range(1, 80).Draw(t, "messages") {
			p := past{at: at}
			if rapid.IntRange(0, 9).Draw(t, "hole") == 0 {
				seq += 5
				if rapid.Bool().Draw(t, "never used") {
					p.reset = seq - 1
				}
			}
			var body []byte
			for range rapid.IntRange(1, 20).Draw(t, "ticks") {
				body, _ = codec.AppendTrade(body, &market.Trade{Symbol: "A", Seq: seq, Time: seq, Price: 1, Size: 1})
				seq++
			}
			var err error
			if p.chunk, _, err = codec.ParseChunk(stream, body); err != nil {
				t.Fatal(err)
			}
			kept += folds.add(p)
			plain.add(p)
			view, before := folds.from(1), seqsOf(folds.from(1))
			if rapid.IntRange(0, 5).Draw(t, "fold") == 0 {
				kept += folds.fold()
			}
			if rapid.IntRange(0, 20).Draw(t, "trim") == 0 {
				kept -= folds.trim(at / 2)
			}
			if got := seqsOf(view); !slices.Equal(got, before) {
				t.Fatalf("a view became %v, was %v", got, before)
			}
		}
		want := 0
		for i := range folds.list {
			want += folds.list[i].bytes()
		}
		if kept != want {
			t.Fatalf("%d bytes counted, %d kept", kept, want)
		}
		if len(folds.list) == 0 {
			return
		}
		first := folds.list[0].chunk.First
		if got, want := seqsOf(folds.from(first)), seqsOf(plain.from(first)); !slices.Equal(got, want) {
			t.Fatalf("%v are held from %d on, want %v", got, first, want)
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
