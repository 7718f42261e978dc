package codec

import (
	"reflect"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/market"
	"pgregory.net/rapid"
)

func TestABatchSaysItsSizeBeforeItIsClosed(t *testing.T) {
	c, _, err := ParseChunk(testStream, trades(t, 1, 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Encoding{MsgPack, JSON} {
		t.Run(e.String(), func(t *testing.T) {
			var b Batch
			buf := make([]byte, 7, 64)
			for range 2 { // the second time in the storage of the first
				b.Reset(e, buf)
				if b.Len() != 0 {
					t.Errorf("a new batch has %d events", b.Len())
				}
				promised := 0
				for range 4 {
					promised = b.Size() + len(c.In(e))
					b.Add(c.In(e), c.N)
				}
				if b.Len() != 12 {
					t.Errorf("%d events, want 12", b.Len())
				}
				if buf = b.Bytes(); len(buf) != promised {
					t.Errorf("%d bytes, promised %d", len(buf), promised)
				}
				if events, err := DecodeBatch(e, buf); err != nil || len(events) != 12 {
					t.Errorf("%d events, %v", len(events), err)
				}
			}
		})
	}
}

func TestAnEmptyBatchIsAnEmptyArray(t *testing.T) {
	for _, e := range []Encoding{MsgPack, JSON} {
		if events, err := DecodeBatch(e, batchOf(e)); err != nil || len(events) != 0 {
			t.Errorf("%v: %v, %v", e, events, err)
		}
	}
}

func TestBatchesMayBeAsLargeAsTheProtocolAllows(t *testing.T) {
	smallest := AppendAck(nil, &Ack{})
	for _, e := range []Encoding{MsgPack, JSON} {
		var b Batch
		b.Reset(e, nil)
		n := 0
		for ; b.Size()+len(smallest)*2 <= MaxBatchBytes; n++ {
			b.AddRecord(smallest)
		}
		events, err := DecodeBatch(e, b.Bytes())
		if err != nil || len(events) != n || !reflect.DeepEqual(events[n-1], Ack{}) {
			t.Errorf("%v: %d of %d events, %v", e, len(events), n, err)
		}
	}
}

func TestBothEncodingsSayTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(genEvent, 0, 5).Draw(t, "events")
		recs := make([][]byte, len(events))
		for i, ev := range events {
			rec, err := AppendEvent(nil, ev)
			if err != nil {
				t.Fatal(err)
			}
			recs[i] = rec
		}
		for _, e := range []Encoding{MsgPack, JSON} {
			got, err := DecodeBatch(e, batchOf(e, recs...))
			if err != nil {
				t.Fatalf("%v: %v", e, err)
			}
			if len(got) != len(events) {
				t.Fatalf("%v: %d events of %d", e, len(got), len(events))
			}
			for i := range got {
				// Bytes tell 0 from -0, DeepEqual a nil from an empty list.
				rec, err := AppendEvent(nil, got[i])
				if err != nil || string(rec) != string(recs[i]) || !reflect.DeepEqual(got[i], events[i]) {
					t.Fatalf("%v: got %#v, %v\nwant %#v", e, got[i], err, events[i])
				}
			}
		}
	})
}

func TestWhatALaterVersionAddsIsPassedOver(t *testing.T) {
	const known = `["hb",5]`
	for _, tt := range []struct{ name, text string }{
		{"an event", `["new",{"a":[1]},2]`},
		{"an event without elements", `["new"]`},
		{"a channel with a snapshot", `["snap","book","A",["book","A",1]]`},
		{"a channel with a gap", `["gap","book","A",1,2,"slow"]`},
	} {
		got, err := DecodeBatch(JSON, []byte("["+known+","+tt.text+","+known+"]"))
		if want := []Event{Heartbeat{5}, Heartbeat{5}}; err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, %v", tt.name, got, err)
		}
	}
	for _, tt := range []struct {
		name, text string
		want       Event
	}{
		{"an element", `["hb",5,{"x":[]},7]`, Heartbeat{5}},
		{"a field of hello", `["hello",{"protocol":1,"new":[{}],"auth":"ok"}]`, Hello{Auth: "ok"}},
		{"a field of stat", `["stat",{"slow":true,"new":null}]`, Stat{Slow: true}},
		{"a hop, and more of one", `["stat",{"hops":{"node_ms":[1,2,{}],"new_ms":[1,2]}}]`, Stat{Hops: Hops{Node: &Hop{time.Millisecond, 2 * time.Millisecond}}}},
		{"a channel in an ack", `["ack",1,{"channels":["book","bar"],"symbols":[],"rejected":{},"new":1}]`,
			Ack{ID: new(int64(1)), Channels: []market.Channel{market.ChannelBar}, Symbols: []string{}, Rejected: map[string]Code{}}},
		{"a reason", `["gap","bar","A",1,2,"new"]`, Gap{market.Stream{Channel: market.ChannelBar, Symbol: "A"}, 1, 2, "new"}},
		{"elements of the tick in a snapshot", `["snap","trade","A",["t","A",1,2,3,4,"","",null]]`,
			Snapshot{market.Stream{Symbol: "A"}, market.Trade{Symbol: "A", Seq: 1, Time: 2, Price: 3, Size: 4}}},
	} {
		if got, err := DecodeBatch(JSON, []byte("["+tt.text+"]")); err != nil || !reflect.DeepEqual(got, []Event{tt.want}) {
			t.Errorf("%s: got %#v, %v", tt.name, got, err)
		}
	}
}

func TestABatchThatIsWrongIsRefusedWhole(t *testing.T) {
	for _, text := range []string{
		``, ` `, `{}`, `1`, `[1]`, `[[]]`, `[[1]]`, `[["hb"]]`, `[["hb","5"]]`, `[["hb",5.5]]`, `[["hb",null]]`,
		`[["hb",5]`, `[["hb",5]]]`, `[["hb",5]] x`, `[["hb",5],]`, `[["hb",9223372036854775808]]`,
		`[["t","A",1,2,3,4,"",""],["t","A",0,2,3,4,"",""]]`, `[["t","*",1,2,3,4,"",""]]`, `[["t","A",1,2,3,4,"x",""]]`,
		`[["t","A",1,2,"3",4,"",""]]`, `[["t","A",1,2,1e999,4,"",""]]`, `[["t","A",1,2,3,4,"",null]]`,
		`[["t","A\ud800",1,2,3,4,"",""]]`, `[["t","A\udc00\ud800",1,2,3,4,"",""]]`, "[[\"t\",\"A\xff\",1,2,3,4,\"\",\"\"]]",
		`[["b","A",1,2,60,1,1,1,1,1,1,0]]`, `[["a","A",5,4,1,1,1,1,1,1,1,1]]`, `[["gap","bar","A",5,4,"slow"]]`,
		`[["snap","trade","A",["q","A",1,2,3,4,5,6]]]`, `[["snap","trade","A",["t","B",1,2,3,4,"",""]]]`,
		`[["snap","trade","A",["hb",1]]]`, `[["snap","trade","A",["new"]]]`, `[["snap","trade","*",null]]`,
		`[["hello",{"heartbeat_ms":-1}]]`, `[["hello",{"heartbeat_ms":9223372036854775807}]]`, `[["hello",null]]`,
		`[["stat",{"hops":[]}]]`, `[["stat",{"hops":{"feed_ms":[1]}}]]`, `[["stat",{"hops":{"feed_ms":[1,1e12]}}]]`,
		`[["ack",1,{"symbols_total":-1}]]`, `[["ack",1,{"rejected":[]}]]`, `[["bye",1012,"x",-1]]`,
	} {
		if got, err := DecodeBatch(JSON, []byte(text)); err == nil {
			t.Errorf("%s: got %#v", text, got)
		}
	}
}
