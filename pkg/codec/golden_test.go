package codec

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/market"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// A vector is one message in both encodings, for SDKs in any language to agree with.
// testdata/index.json lists them: kind "event" is a batch of that one event, kind
// "request" a request.
type vector struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	MsgPack string `json:"msgpack"` // file, in hex
	JSON    string `json:"json"`    // file
	Note    string `json:"note"`

	event   Event
	request Request
}

func vectors() []vector {
	btc := market.Stream{Channel: market.ChannelTrade, Symbol: "BTC/USD"}
	aapl := market.Stream{Channel: market.ChannelBar, Symbol: "AAPL"}
	id, maxID := int64(12), int64(1<<63-1)
	bothChannels := []market.Channel{market.ChannelTrade, market.ChannelQuote}
	odd := market.Trade{Symbol: "日経\"225\\", Seq: 1<<63 - 1, Time: -1, Price: 5e-324, Size: 0.1, ID: "\n"}
	forming := testBar
	forming.Closed, forming.Trades = false, 0
	all := []vector{
		{Name: "hello", Note: "always first", event: Hello{Session: "s-1", Node: "node-a", Heartbeat: 15 * time.Second, MaxSymbols: 500, Auth: "none"}},
		{Name: "ack-subscribe", Note: "one symbol rejected", event: Ack{ID: &id, Channels: bothChannels, Symbols: []string{"BTC/USD", "BRK.B"},
			SymbolsTotal: 2, Rejected: map[string]Code{"NOPE": CodeUnknownSymbol, "SECRET": CodeForbidden}}},
		{Name: "ack-total", Note: "over 1,000 symbols are only counted", event: Ack{ID: &id, Channels: bothChannels, SymbolsTotal: 1001, Rejected: map[string]Code{}}},
		{Name: "ack-empty", Note: "of auth or stats, without an id", event: Ack{}},
		{Name: "error", Note: "the largest id", event: Error{ID: &maxID, Code: CodeBadRequest, Message: `policy: "keep" is unknown`}},
		{Name: "error-no-id", Note: "the id could not be read", event: Error{Code: CodeBadRequest, Message: "malformed: not JSON"}},
		{Name: "pong", Note: "time is the server's", event: Pong{ID: &id, Time: noon}},
		{Name: "trade", Note: "the buyer was the aggressor", event: testTrade},
		{Name: "trade-odd", Note: "escapes, no side, the largest seq, the smallest price, a time before 1970", event: odd},
		{Name: "quote", Note: "the venue tells no ask size", event: testQuote},
		{Name: "bar", Note: "closed", event: testBar},
		{Name: "bar-forming", Note: "no trade yet", event: forming},
		{Name: "aggregate", Note: "250 trades in one", event: testAggregate},
		{Name: "snapshot", Note: "the last trade", event: Snapshot{Stream: btc, Event: testTrade}},
		{Name: "snapshot-none", Note: "no event yet", event: Snapshot{Stream: aapl}},
		{Name: "gap", Note: "both seqs included", event: Gap{Stream: btc, From: 41_251, To: 41_300, Reason: ReasonSlow}},
		{Name: "stat", Note: "since the last one", event: Stat{PendingBytes: 70_000, QueueAgeMS: 250, Conflated: 3, Dropped: 50, Aggregated: 250, Sent: 100_000, Slow: true}},
		{Name: "stat-hops", Note: "the venue's clock is ahead of the feed's; NATS is not known yet", event: Stat{Sent: 7, Hops: Hops{
			Venue: &Hop{Median: -1200 * time.Microsecond, P99: 3 * time.Millisecond}, Feed: &Hop{Median: 700 * time.Microsecond, P99: 5250 * time.Microsecond},
			Node: &Hop{Median: 2 * time.Millisecond, P99: 1500 * time.Millisecond}}}},
		{Name: "heartbeat", Note: "time is the server's", event: Heartbeat{Time: noon}},
		{Name: "bye", Note: "the node drains", event: Bye{Code: 1012, Reason: "draining", RetryAfter: 1500 * time.Millisecond}},
		{Name: "auth", request: Request{Op: OpAuth, ID: &id, Token: "a.b.c"}},
		{Name: "subscribe", request: Request{Op: OpSubscribe, ID: &id, Channels: bothChannels, Symbols: []string{"BTC/USD", "BRK.B"}}},
		{Name: "subscribe-all", Note: "every option", request: Request{Op: OpSubscribe, ID: &maxID, Channels: bothChannels, Symbols: []string{"*"}, NoSnapshot: true,
			IntervalMS: new(int64(250)), Policy: "drop_oldest", After: map[market.Stream]int64{btc: 41_000, {Channel: market.ChannelQuote, Symbol: "BRK.B"}: 7}}},
		{Name: "unsubscribe", request: Request{Op: OpUnsubscribe, ID: new(int64(-1)), Channels: bothChannels, Symbols: []string{"BRK.B"}}},
		{Name: "stats", request: Request{Op: OpStats, ID: &id, EveryMS: 1000}},
		{Name: "ping", Note: "without an id", request: Request{Op: OpPing}},
	}
	for i := range all {
		v := &all[i]
		v.Kind = "request"
		if v.event != nil {
			v.Kind = "event"
		}
		v.MsgPack, v.JSON = v.Kind+"-"+v.Name+".msgpack.hex", v.Kind+"-"+v.Name+".json"
	}
	return all
}

func (v *vector) message(t *testing.T, e Encoding) []byte {
	if v.event != nil {
		return batchOf(e, mustEvents(t, v.event))
	}
	return must(t)(AppendRequest(nil, e, &v.request))
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got  %s\nwant %s", name, got, want)
	}
}

func TestTheWireFormIsWhatTheGoldenFilesSay(t *testing.T) {
	all := vectors()
	index, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "index.json", append(index, '\n'))
	for _, v := range all {
		t.Run(v.Kind+" "+v.Name, func(t *testing.T) {
			golden(t, v.JSON, append(v.message(t, JSON), '\n'))
			golden(t, v.MsgPack, []byte(hex.EncodeToString(v.message(t, MsgPack))+"\n"))
		})
	}
}

func TestTheGoldenFilesReadAsWhatTheyStandFor(t *testing.T) {
	for _, v := range vectors() {
		for e, name := range map[Encoding]string{MsgPack: v.MsgPack, JSON: v.JSON} {
			t.Run(name, func(t *testing.T) {
				data, err := os.ReadFile(filepath.Join("testdata", name))
				if err != nil {
					t.Fatal(err)
				}
				if e == MsgPack {
					data = fromHex(t, strings.TrimSpace(string(data)))
				}
				if v.event == nil {
					if got, refused := DecodeRequest(e, data); refused != nil || !reflect.DeepEqual(got, v.request) {
						t.Errorf("got %+v, %v", got, refused)
					}
					return
				}
				if got, err := DecodeBatch(e, data); err != nil || !reflect.DeepEqual(got, []Event{v.event}) {
					t.Errorf("got %+v, %v", got, err)
				}
			})
		}
	}
}
