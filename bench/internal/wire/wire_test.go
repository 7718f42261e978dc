package wire

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// sample returns a batch with one event of every kind, in the given encoding.
func sample(t testing.TB, e codec.Encoding) []byte {
	t.Helper()
	trade := market.Trade{Symbol: `A"[,B`, Seq: 7, Time: 1_700_000_000_000_000_001, Price: 1, Size: 2, Side: market.SideBuy, ID: "x"}
	id := int64(5)
	s := market.Stream{Channel: market.ChannelTrade, Symbol: `A"[,B`}
	var b codec.Batch
	b.Reset(e, nil)
	for _, ev := range []codec.Event{
		codec.Hello{Session: "s", Node: "n", Auth: "none"},
		codec.Ack{ID: &id, Channels: []market.Channel{market.ChannelTrade}, Symbols: []string{"A"}, Rejected: map[string]codec.Code{"B": 4404}},
		codec.Snapshot{Stream: s, Event: trade},
		codec.Snapshot{Stream: s},
		codec.Gap{Stream: s, From: 8, To: 1_000_000, Reason: codec.ReasonSlow},
		codec.Error{Code: 4400, Message: "m"},
		trade,
		market.Quote{Symbol: "A", Seq: 1, Time: 9, BidPrice: 1},
		market.Bar{Symbol: "A", Seq: 1 << 40, Start: 9, Interval: 60},
		market.Aggregate{Symbol: "A", FromSeq: 1, ToSeq: 3, Count: 3},
		codec.Heartbeat{Time: 1},
		codec.Bye{Code: 1012, Reason: "r"},
	} {
		rec, err := codec.AppendEvent(nil, ev)
		if err != nil {
			t.Fatal(err)
		}
		b.AddRecord(rec)
	}
	return b.Bytes()
}

func TestCountsEveryKindOfEvent(t *testing.T) {
	for _, e := range []codec.Encoding{codec.MsgPack, codec.JSON} {
		t.Run(e.String(), func(t *testing.T) {
			b := sample(t, e)
			var got Tally
			count := got.MsgPack
			if e == codec.JSON {
				count = got.JSON
			}
			if oldest := count(b); oldest != 1_700_000_000_000_000_001 {
				t.Errorf("the first tick's time is %d", oldest)
			}
			want := Tally{Messages: 1, Bytes: int64(len(b)), Events: 12, Ticks: 4, Snapshots: 2, Gaps: 1, Missed: 999_993, Acks: 1, Errors: 1}
			if got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// Whatever comes, counting ends, reads nothing beyond its end, and agrees with the codec on
// how many events a batch has that the codec takes.
func FuzzCount(f *testing.F) {
	f.Add(sample(f, codec.MsgPack))
	f.Add([]byte{0xdc, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var tally Tally
		tally.MsgPack(b)
		if _, err := codec.DecodeBatch(codec.MsgPack, b); err == nil && tally.Malformed == 0 && len(b) > 0 {
			n, _ := head(b, 0)
			if tally.Events != int64(n) {
				t.Errorf("%d events of %d", tally.Events, n)
			}
		}
		tally.JSON(b)
	})
}

func FuzzNext(f *testing.F) {
	f.Add([]byte{0x82, 126, 0, 3, 1, 2, 3})
	f.Add([]byte{0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, n, err := Next(b)
		if n > len(b) || err != nil && n != 0 || len(fr.Payload) > n {
			t.Errorf("frame of %d bytes in %d, %v", n, len(b), err)
		}
	})
}

func TestFramesOfEveryLengthComeBack(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		payload := bytes.Repeat([]byte{'x'}, n)
		buf := append(make([]byte, HeadBytes), payload...)
		frame := buf[PutHead(buf, HeadBytes, OpBinary):]
		for _, cut := range []int{0, 1, len(frame) - 1} {
			if _, length, err := Next(frame[:cut]); length != 0 || err != nil {
				t.Errorf("%d of %d bytes are a frame of %d, %v", cut, len(frame), length, err)
			}
		}
		got, length, err := Next(frame)
		if err != nil || length != len(frame) || got.Op != OpBinary || !got.Fin || !bytes.Equal(got.Payload, payload) {
			t.Errorf("payload of %d: frame of %d, opcode %d, payload of %d, %v", n, length, got.Op, len(got.Payload), err)
		}
		if n > 65535 {
			continue // beyond what a subscriber asks in one request
		}
		op, back, err := ReadMasked(bufio.NewReader(bytes.NewReader(AppendMasked(nil, OpText, payload))))
		if err != nil || op != OpText || !bytes.Equal(back, payload) {
			t.Errorf("masked payload of %d: opcode %d, payload of %d, %v", n, op, len(back), err)
		}
	}
}

func BenchmarkCount(b *testing.B) {
	var batch codec.Batch
	batch.Reset(codec.MsgPack, nil)
	const n = 50
	for i := range n {
		rec, err := codec.AppendTrade(nil, &market.Trade{Symbol: "Q00042/USD", Seq: 1 << 50, Time: int64(i + 1), Price: 1, Size: 2, Side: market.SideBuy, ID: "100000042"})
		if err != nil {
			b.Fatal(err)
		}
		batch.Add(rec, 1)
	}
	msg := batch.Bytes()
	var tally Tally
	for b.Loop() {
		tally.MsgPack(msg)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*b.N), "ns/tick")
}
