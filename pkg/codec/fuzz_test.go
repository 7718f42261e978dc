package codec

import (
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/tickcast/tickcast/pkg/market"
)

// seeds adds every golden message and some hostile ones, in both encodings.
func seeds(f *testing.F, kind string) {
	for _, v := range vectors() {
		if v.Kind != kind {
			continue
		}
		for _, e := range []Encoding{MsgPack, JSON} {
			if v.event != nil {
				f.Add(uint8(e), batchOf(e, mustEvents(f, v.event)))
			} else {
				f.Add(uint8(e), must(f)(AppendRequest(nil, e, &v.request)))
			}
		}
	}
	for _, h := range hostile {
		f.Add(uint8(h.encoding), h.data[:min(len(h.data), 1<<10)]) // long seeds slow the fuzzer down
	}
}

// FuzzDecodeBatch: bytes give an error, or events that either encoding brings back.
func FuzzDecodeBatch(f *testing.F) {
	seeds(f, "event")
	f.Fuzz(func(t *testing.T, encoding uint8, data []byte) {
		events, err := DecodeBatch(Encoding(encoding&1), data)
		if err != nil {
			return
		}
		for _, ev := range events {
			if a, ok := ev.(Ack); ok {
				ev = canonicalAck(a)
			}
			rec, err := AppendEvent(nil, ev)
			if err != nil {
				t.Fatalf("%#v: %v", ev, err)
			}
			for _, e := range []Encoding{MsgPack, JSON} {
				back, err := DecodeBatch(e, batchOf(e, rec))
				if err != nil || len(back) != 1 {
					t.Fatalf("%v: %#v became %#v, %v", e, ev, back, err)
				}
				again, err := AppendEvent(nil, back[0])
				if err != nil || !bytes.Equal(again, rec) || !reflect.DeepEqual(back[0], ev) {
					t.Fatalf("%v: %#v became %#v, %v", e, ev, back[0], err)
				}
			}
		}
	})
}

// canonicalAck is the ack that a server of this version would have sent for a.
func canonicalAck(a Ack) Ack {
	if a.Channels == nil {
		return Ack{ID: a.ID}
	}
	if a.Rejected == nil {
		a.Rejected = map[string]Code{}
	}
	switch {
	case a.SymbolsTotal > ackSymbolsMax:
		a.Symbols = nil
	case a.SymbolsTotal == 0:
		a.Symbols = []string{}
	}
	return a
}

// FuzzDecodeRequest: bytes give a refusal, or a request that either encoding brings back.
func FuzzDecodeRequest(f *testing.F) {
	seeds(f, "request")
	f.Fuzz(func(t *testing.T, encoding uint8, data []byte) {
		q, refused := DecodeRequest(Encoding(encoding&1), data)
		if refused != nil {
			if refused.Code != CodeBadRequest || refused.Message == "" || !reflect.DeepEqual(q, Request{}) {
				t.Fatalf("%+v with %+v", refused, q)
			}
			return
		}
		for _, e := range []Encoding{MsgPack, JSON} {
			written, err := AppendRequest(nil, e, &q)
			if err != nil {
				t.Fatalf("%+v: %v", q, err)
			}
			if back, refused := DecodeRequest(e, written); refused != nil || !reflect.DeepEqual(back, q) {
				t.Fatalf("%v: %+v became %+v, %v", e, q, back, refused)
			}
		}
	})
}

// FuzzNextTick: what NextTick takes, DecodeBatch reads alike, in both encodings, and
// AppendJSON translates.
func FuzzNextTick(f *testing.F) {
	for _, v := range vectors() {
		if v.event != nil {
			f.Add(mustEvents(f, v.event))
		}
	}
	for _, h := range hostile {
		f.Add(h.data[:min(len(h.data), 1<<10)])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, n, err := NextTick(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		for _, e := range []Encoding{MsgPack, JSON} {
			events, err := DecodeBatch(e, batchOf(e, data[:n]))
			if err != nil || len(events) != 1 {
				t.Fatalf("%v: %v, %v", e, events, err)
			}
			if got := headOf(events[0]); !reflect.DeepEqual(got, h) {
				t.Fatalf("%v: NextTick says %+v, DecodeBatch %+v", e, h, got)
			}
		}
		checkChunk(t, market.Stream{Channel: h.Channel, Symbol: string(h.Symbol)}, data)
	})
}

func headOf(ev Event) Head {
	switch ev := ev.(type) {
	case market.Trade:
		return Head{KindTrade, market.ChannelTrade, []byte(ev.Symbol), ev.Seq, ev.Seq}
	case market.Quote:
		return Head{KindQuote, market.ChannelQuote, []byte(ev.Symbol), ev.Seq, ev.Seq}
	case market.Bar:
		return Head{KindBar, market.ChannelBar, []byte(ev.Symbol), ev.Seq, ev.Seq}
	case market.Aggregate:
		return Head{KindAggregate, market.ChannelTrade, []byte(ev.Symbol), ev.FromSeq, ev.ToSeq}
	case Gap:
		return Head{KindGap, ev.Stream.Channel, []byte(ev.Stream.Symbol), ev.From, ev.To}
	}
	return Head{}
}

// checkChunk wants of a chunk, if body is one, that it holds what it says in both encodings.
func checkChunk(t *testing.T, s market.Stream, body []byte) {
	c, reset, err := ParseChunk(s, body)
	if err != nil {
		return
	}
	for _, e := range []Encoding{MsgPack, JSON} {
		var b Batch
		b.Reset(e, nil)
		b.Add(c.In(e), c.N)
		events, err := DecodeBatch(e, b.Bytes())
		if err != nil || len(events) != c.N || c.Last-c.First+1 != int64(c.N) {
			t.Fatalf("%v: %d events of %d from %d to %d, %v", e, len(events), c.N, c.First, c.Last, err)
		}
		for i, ev := range events {
			if h := headOf(ev); h.Seq != c.First+int64(i) || string(h.Symbol) != s.Symbol || h.Channel != s.Channel {
				t.Fatalf("%v: event %d is %+v", e, i, h)
			}
		}
	}
	if c.Void < 0 || c.Begins() < 1 {
		t.Fatalf("%d numbers that no tick has before %d", c.Void, c.First)
	}
	if reset >= c.First {
		t.Fatalf("reset %d before %d", reset, c.First)
	}
	if h, n, err := NextTick(c.LastRecord()); err != nil || h.Seq != c.Last || n != len(c.LastRecord()) {
		t.Fatalf("last record: %+v, %v", h, err)
	}
}

// FuzzTranslate: a JSON message and its msgpack twin are the same message.
func FuzzTranslate(f *testing.F) {
	seeds(f, "event")
	f.Fuzz(func(t *testing.T, encoding uint8, data []byte) {
		packed, err := canonical(Encoding(encoding&1), data, hasTwin)
		if err != nil {
			return
		}
		text, err := AppendJSON(nil, packed)
		if err != nil {
			t.Fatalf("%x: %v", packed, err)
		}
		back, err := appendFromJSON(nil, text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		// Not the same bytes (heads have many forms), but the same text.
		if again, err := AppendJSON(nil, back); err != nil || !bytes.Equal(again, text) {
			t.Fatalf("%s became %s, %v", text, again, err)
		}
	})
}

var hostile = []struct {
	name     string
	encoding Encoding
	data     []byte
}{
	{"an array of four thousand million", MsgPack, []byte("\xdd\xff\xff\xff\xff")},
	{"a map of four thousand million", MsgPack, []byte("\xdf\xff\xff\xff\xff")},
	{"a string of four thousand million", MsgPack, []byte("\x91\xdb\xff\xff\xff\xff")},
	{"bytes of four thousand million", MsgPack, []byte("\x81\xa1x\xc6\xff\xff\xff\xff")},
	{"an extension of four thousand million", MsgPack, []byte("\x81\xa1x\xc9\xff\xff\xff\xff\x01")},
	{"an event of four thousand million", MsgPack, []byte("\x91\xdd\xff\xff\xff\xff\xa1t")},
	{"symbols of four thousand million", MsgPack, []byte("\x82\xa2op\xa9subscribe\xa7symbols\xdd\xff\xff\xff\xff")},
	{"arrays of 65,535, each in the one before", MsgPack, bytes.Repeat([]byte("\xdc\xff\xff"), 20_000)},
	{"a million arrays deep", MsgPack, bytes.Repeat([]byte{0x91}, 1_000_000)},
	{"a million maps deep", MsgPack, bytes.Repeat([]byte("\x81\xa0"), 1_000_000)},
	{"a million arrays deep", JSON, bytes.Repeat([]byte{'['}, 1_000_000)},
	{"a million objects deep", JSON, []byte(strings.Repeat(`{"":`, 1_000_000))},
	{"a long number", JSON, append(append([]byte("[["), bytes.Repeat([]byte{'9'}, 60_000)...), "]]"...)},
}

func TestHostileBytesAreRefusedForLittleMemory(t *testing.T) {
	for _, h := range hostile {
		t.Run(h.name+" in "+h.encoding.String(), func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := DecodeBatch(h.encoding, h.data)
			_, refused := DecodeRequest(h.encoding, h.data)
			_, _, tick := NextTick(h.data)
			_, _, chunk := ParseChunk(market.Stream{Symbol: "A"}, h.data)
			_, translate := AppendJSON(nil, h.data)
			runtime.ReadMemStats(&after)
			if err == nil || refused == nil || tick == nil || chunk == nil || h.encoding == MsgPack && translate == nil {
				t.Errorf("taken: %v, %v, %v, %v, %v", err, refused, tick, chunk, translate)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10+16*uint64(len(h.data)) {
				t.Errorf("allocated %d bytes for %d", n, len(h.data))
			}
		})
	}
}
