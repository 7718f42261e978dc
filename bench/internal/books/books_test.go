package books

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

var (
	stream = market.Stream{Channel: market.ChannelTrade, Symbol: "A"}
	quotes = market.Stream{Channel: market.ChannelQuote, Symbol: "A"}
)

func trade(seq int64) codec.Event { return market.Trade{Symbol: "A", Seq: seq, Time: 1} }
func quote(seq int64) codec.Event { return market.Quote{Symbol: "A", Seq: seq, Time: 1} }
func gap(from, to int64) codec.Event {
	return codec.Gap{Stream: stream, From: from, To: to, Reason: codec.ReasonSlow}
}

func aggregate(from, to, count int64) codec.Event {
	return market.Aggregate{Symbol: "A", FromSeq: from, ToSeq: to, Count: count}
}

func snap(of market.Stream, ev codec.Event) codec.Event {
	return codec.Snapshot{Stream: of, Event: ev}
}

func message(t testing.TB, e codec.Encoding, events ...codec.Event) []byte {
	t.Helper()
	var b codec.Batch
	b.Reset(e, nil)
	for _, ev := range events {
		rec, err := codec.AppendEvent(nil, ev)
		if err != nil {
			t.Fatal(err)
		}
		b.AddRecord(rec)
	}
	return b.Bytes()
}

func TestBooksFindWhatIsPlanted(t *testing.T) {
	for _, tt := range []struct {
		name   string
		events []codec.Event
		want   Sums
	}{
		{"the first event may be any", []codec.Event{trade(7), trade(8)}, Sums{Trades: 2}},
		{"a snapshot counts", []codec.Event{snap(stream, trade(7)), trade(8)}, Sums{Trades: 2}},
		{"an empty snapshot does not", []codec.Event{snap(stream, nil), trade(8)}, Sums{Trades: 1}},
		{"gaps and aggregates account for ranges", []codec.Event{trade(1), gap(2, 5), aggregate(6, 9, 4), trade(10)}, Sums{Trades: 2, Missed: 4, Aggregated: 4}},
		{"quotes may jump", []codec.Event{quote(1), quote(9)}, Sums{Others: 2}},

		{"a hole", []codec.Event{trade(1), trade(4)}, Sums{Trades: 2, Holes: 2}},
		{"a hole behind the snapshot", []codec.Event{snap(stream, trade(1)), trade(3)}, Sums{Trades: 2, Holes: 1}},
		{"a hole before a gap", []codec.Event{trade(1), gap(3, 4), trade(5)}, Sums{Trades: 2, Missed: 2, Holes: 1}},
		{"a gap that ends too soon", []codec.Event{trade(1), gap(2, 3), trade(5)}, Sums{Trades: 2, Missed: 2, Holes: 1}},
		{"a trade twice", []codec.Event{trade(1), trade(1)}, Sums{Trades: 2, Doubled: 1}},
		{"the snapshot's trade again", []codec.Event{snap(stream, trade(1)), trade(1), trade(2)}, Sums{Trades: 3, Doubled: 1}},
		{"a gap over what came", []codec.Event{trade(1), trade(2), gap(2, 3), trade(4)}, Sums{Trades: 3, Missed: 2, Doubled: 1}},
		{"an aggregate over what came", []codec.Event{trade(1), aggregate(1, 3, 3), trade(4)}, Sums{Trades: 2, Aggregated: 3, Doubled: 1}},
		{"an aggregate that counts wrongly", []codec.Event{trade(1), aggregate(2, 3, 1)}, Sums{Trades: 1, Aggregated: 2, Wrong: 1}},
		{"a quote twice", []codec.Event{quote(5), quote(5)}, Sums{Others: 2, Fallen: 1}},
		{"a quote behind its snapshot", []codec.Event{snap(quotes, quote(5)), quote(4)}, Sums{Others: 2, Fallen: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, e := range []codec.Encoding{codec.MsgPack, codec.JSON} {
				var whole, single Book
				whole.Message(e, message(t, e, tt.events...))
				for _, ev := range tt.events {
					single.Message(e, message(t, e, ev))
				}
				if whole.Sums != tt.want || single.Sums != tt.want {
					t.Errorf("%v: in one batch %+v, one by one %+v, want %+v", e, whole.Sums, single.Sums, tt.want)
				}
				if (whole.Faults() > 0) != (whole.Fault() != "") {
					t.Errorf("%v: %d faults, described as %q", e, whole.Faults(), whole.Fault())
				}
			}
		})
	}
}

func TestABatchThatCannotBeReadIsAFault(t *testing.T) {
	var b Book
	b.Message(codec.MsgPack, []byte{0xdc, 0, 1, 0xc1})
	if b.Wrong != 1 {
		t.Errorf("%+v", b.Sums)
	}
}

// A true account, told in any mixture of trades, gaps and aggregates and in any batches, with
// reconnections that go on after what was seen, has no fault; one seq left out is found.
func TestTrueAccountsBalance(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var good, bad Book
		seq := rapid.Int64Range(1, 1<<40).Draw(rt, "first")
		good.Message(codec.MsgPack, message(t, codec.MsgPack, snap(stream, trade(seq))))
		bad.Message(codec.MsgPack, message(t, codec.MsgPack, snap(stream, trade(seq))))
		steps := rapid.IntRange(2, 20).Draw(rt, "steps")
		left := rapid.IntRange(0, steps-2).Draw(rt, "left out")
		for i := range steps {
			n := rapid.Int64Range(1, 5).Draw(rt, "n")
			var ev codec.Event
			switch rapid.IntRange(0, 2).Draw(rt, "kind") {
			case 0:
				ev = gap(seq+1, seq+n)
			case 1:
				ev = aggregate(seq+1, seq+n, n)
			default:
				n = 1
				ev = trade(seq + 1)
			}
			seq += n
			good.Message(codec.MsgPack, message(t, codec.MsgPack, ev))
			if i != left {
				bad.Message(codec.MsgPack, message(t, codec.MsgPack, ev))
			}
		}
		if good.Faults() != 0 || good.After()[stream] != seq {
			t.Errorf("a true account has %+v: %s; after %v, want %d", good.Sums, good.Fault(), good.After(), seq)
		}
		if bad.Holes == 0 {
			t.Error("what was left out is not missed")
		}
	})
}
