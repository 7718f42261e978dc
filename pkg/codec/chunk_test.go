package codec

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/tickcast/tickcast/pkg/market"
	"pgregory.net/rapid"
)

var testStream = market.Stream{Channel: market.ChannelTrade, Symbol: "BTC/USD"}

// trades is the records of the trades of testStream with these seqs.
func trades(t testing.TB, seqs ...int64) []byte {
	t.Helper()
	var body []byte
	for _, seq := range seqs {
		trade := testTrade
		trade.Seq = seq
		body = must(t)(AppendTrade(body, &trade))
	}
	return body
}

func gapOf(from, to int64, r Reason) []byte { return AppendGap(nil, testStream, from, to, r) }

func TestParseChunkTakesConsecutiveTicksOfOneStream(t *testing.T) {
	other := testTrade
	other.Symbol = "ETH/USD"
	eth := mustEvents(t, other)
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for _, tt := range []struct {
		name        string
		body        []byte
		first, last int64 // 0 = refused
		reset       int64
	}{
		{"one trade", trades(t, 7), 7, 7, 0},
		{"three", trades(t, 254, 255, 256), 254, 256, 0},
		{"after a reset", join(gapOf(8, 99, ReasonReset), trades(t, 100, 101)), 100, 101, 99},
		{"nothing", nil, 0, 0, 0},
		{"a reset alone", gapOf(8, 99, ReasonReset), 0, 0, 0},
		{"some ticks after a reset", join(gapOf(8, 99, ReasonReset), trades(t, 102)), 102, 102, 99},
		{"a reset that reaches into the ticks", join(gapOf(8, 102, ReasonReset), trades(t, 102)), 0, 0, 0},
		{"two resets", join(gapOf(8, 9, ReasonReset), gapOf(10, 11, ReasonReset), trades(t, 12)), 0, 0, 0},
		{"a reset in the middle", join(trades(t, 7), gapOf(8, 9, ReasonReset), trades(t, 10)), 0, 0, 0},
		{"a gap of another reason", join(gapOf(8, 99, ReasonSlow), trades(t, 100)), 0, 0, 0},
		{"after numbers that no trade has", join(gapOf(8, 99, ReasonUpstream), trades(t, 100, 101)), 100, 101, 0},
		{"such numbers and a hole", join(gapOf(8, 98, ReasonUpstream), trades(t, 100)), 0, 0, 0},
		{"such numbers that reach into the ticks", join(gapOf(8, 100, ReasonUpstream), trades(t, 100)), 0, 0, 0},
		{"such numbers alone", gapOf(8, 99, ReasonUpstream), 0, 0, 0},
		{"such numbers in the middle", join(trades(t, 7), gapOf(8, 9, ReasonUpstream), trades(t, 10)), 0, 0, 0},
		{"such numbers behind a reset", join(gapOf(1, 7, ReasonReset), gapOf(8, 9, ReasonUpstream), trades(t, 10)), 0, 0, 0},
		{"a hole", trades(t, 7, 9), 0, 0, 0},
		{"a seq twice", trades(t, 7, 7), 0, 0, 0},
		{"a seq that goes back", trades(t, 7, 6), 0, 0, 0},
		{"another symbol", join(trades(t, 7), eth), 0, 0, 0},
		{"another channel", mustEvents(t, testQuote), 0, 0, 0},
		{"an aggregate", mustEvents(t, testAggregate), 0, 0, 0},
		{"a heartbeat", AppendHeartbeat(nil, noon), 0, 0, 0},
		{"bytes after it", join(trades(t, 7), []byte{0}), 0, 0, 0},
		{"a trade cut short", trades(t, 7)[:20], 0, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, reset, err := ParseChunk(testStream, tt.body)
			if tt.first == 0 {
				if c != nil || !errors.Is(err, ErrMalformed) {
					t.Fatalf("got %+v, %v", c, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.First != tt.first || c.Last != tt.last || c.N != int(tt.last-tt.first+1) || reset != tt.reset || c.Channel != testStream.Channel {
				t.Errorf("got %+v, reset %d", c, reset)
			}
			if want := trades(t, tt.last); string(c.LastRecord()) != string(want) {
				t.Errorf("last record is %x, want %x", c.LastRecord(), want)
			}
		})
	}
}

func TestAPartOfAChunkIsTheChunkOfThatPart(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		first := rapid.Int64Range(1, market.SeqMax-6).Draw(rt, "first")
		seqs := make([]int64, rapid.IntRange(1, 6).Draw(rt, "n"))
		for i := range seqs {
			seqs[i] = first + int64(i)
		}
		whole, _, err := ParseChunk(testStream, trades(t, seqs...))
		if err != nil {
			rt.Fatal(err)
		}
		whole.Stream = 9
		from := rapid.Int64Range(0, whole.Last+2).Draw(rt, "from")
		if rapid.Bool().Draw(rt, "inside") {
			from = rapid.SampledFrom(seqs).Draw(rt, "seq")
		}
		part := whole.From(from)
		switch {
		case from <= first && part != whole:
			rt.Fatalf("from %d of %d on is not the whole", from, first)
		case from > whole.Last && part != nil:
			rt.Fatalf("from %d on there is %+v", from, part)
		}
		if part == nil || part == whole {
			return
		}
		want, _, err := ParseChunk(testStream, trades(t, seqs[from-first:]...))
		if err != nil {
			rt.Fatal(err)
		}
		if part.Stream != 9 || part.Channel != want.Channel || part.First != want.First || part.Last != want.Last || part.N != want.N {
			rt.Fatalf("got %+v, want %+v", part, want)
		}
		for _, pair := range [][2][]byte{
			{part.Bytes, want.Bytes}, {part.LastRecord(), want.LastRecord()}, {part.In(JSON), want.In(JSON)},
		} {
			if string(pair[0]) != string(pair[1]) {
				rt.Fatalf("got %q, want %q", pair[0], pair[1])
			}
		}
	})
}

func TestAChunkIsTranslatedOnceForAll(t *testing.T) {
	c, _, err := ParseChunk(testStream, trades(t, 1, 2))
	if err != nil {
		t.Fatal(err)
	}
	texts := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range texts {
		wg.Go(func() { texts[i] = c.In(JSON) })
	}
	wg.Wait()
	const one = `["t","BTC/USD",1,1770000000123456789,64250.5,0.25,"b","98-7"]`
	want := one + "," + strings.Replace(one, ",1,", ",2,", 1)
	for _, text := range texts {
		if string(text) != want || &text[0] != &texts[0][0] {
			t.Fatalf("got %s", text)
		}
	}
	if &c.In(MsgPack)[0] != &c.Bytes[0] {
		t.Error("msgpack was copied")
	}
}

// TestJoinUndoesFrom states that the parts of a chunk, joined, are that chunk again.
func TestJoinUndoesFrom(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var seqs []int64
		for i := range rapid.IntRange(1, 20).Draw(rt, "ticks") {
			seqs = append(seqs, int64(250+i))
		}
		whole, _, err := ParseChunk(testStream, trades(t, seqs...))
		if err != nil {
			rt.Fatal(err)
		}
		whole.Stream = 5
		var parts []*Chunk
		for from := whole.First; from <= whole.Last; {
			to := rapid.Int64Range(from, whole.Last).Draw(rt, "last of part")
			part, _, err := ParseChunk(testStream, trades(t, seqs[from-whole.First:to-whole.First+1]...))
			if err != nil {
				rt.Fatal(err)
			}
			part.Stream = 5
			parts = append(parts, part)
			from = to + 1
		}
		got := Join(parts)
		if got.First != whole.First || got.Last != whole.Last || got.N != whole.N || got.Stream != whole.Stream ||
			got.Channel != whole.Channel || got.Symbol != whole.Symbol ||
			string(got.Bytes) != string(whole.Bytes) || string(got.LastRecord()) != string(whole.LastRecord()) {
			rt.Fatalf("joined %+v, want %+v", got, whole)
		}
	})
}

// TestNumbersThatNoTickHas states that a chunk, its copy and what it is joined to account for
// them, and a part of it without its first tick does not.
func TestNumbersThatNoTickHas(t *testing.T) {
	c, _, err := ParseChunk(testStream, append(gapOf(8, 99, ReasonUpstream), trades(t, 100, 101)...))
	if err != nil {
		t.Fatal(err)
	}
	next, _, err := ParseChunk(testStream, trades(t, 102))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		of   *Chunk
		want int64
	}{
		{"the chunk", c, 8},
		{"from before it on", c.From(50), 8},
		{"a part", c.From(101), 101},
		{"a copy", c.Copy(0), 8},
		{"joined", Join([]*Chunk{c, next}), 8},
	} {
		if got := tt.of.Begins(); got != tt.want {
			t.Errorf("%s begins with %d, want %d", tt.name, got, tt.want)
		}
	}
}
