package codec

import (
	"reflect"
	"strings"
	"testing"

	"github.com/tickcast/tickcast/pkg/market"
	"pgregory.net/rapid"
)

// decodeBoth decodes the JSON request, and its msgpack form, and wants one answer.
func decodeBoth(t *testing.T, text string) (Request, *RequestError) {
	t.Helper()
	fromText, refusedText := DecodeRequest(JSON, []byte(text))
	packed, err := appendFromJSON(nil, []byte(text))
	if err != nil {
		return fromText, refusedText
	}
	fromPack, refusedPack := DecodeRequest(MsgPack, packed)
	if !reflect.DeepEqual(fromText, fromPack) || !reflect.DeepEqual(refusedText, refusedPack) {
		t.Errorf("json gives %+v, %v; msgpack gives %+v, %v", fromText, refusedText, fromPack, refusedPack)
	}
	return fromText, refusedText
}

func TestRequestsThatAreRead(t *testing.T) {
	both := []market.Channel{market.ChannelTrade, market.ChannelQuote}
	for _, tt := range []struct {
		name, text string
		want       Request
	}{
		{"ping", `{"op":"ping"}`, Request{Op: OpPing}},
		{"white space", " {\"op\" :\n\"ping\" }\t\r\n", Request{Op: OpPing}},
		{"the largest id", `{"op":"ping","id":9223372036854775807}`, Request{Op: OpPing, ID: new(int64(1<<63 - 1))}},
		{"the smallest id", `{"op":"ping","id":-9223372036854775808}`, Request{Op: OpPing, ID: new(int64(-1 << 63))}},
		{"a null id", `{"op":"ping","id":null}`, Request{Op: OpPing}},
		{"unknown fields", `{"x":{"y":[1.5,{}]},"op":"ping","token":7,"OP":"auth","Id":5}`, Request{Op: OpPing}},
		{"a field twice: the last", `{"op":"auth","id":1,"id":2,"op":"ping"}`, Request{Op: OpPing, ID: new(int64(2))}},
		{"auth", `{"op":"auth","id":0,"token":"a.b.c"}`, Request{Op: OpAuth, ID: new(int64(0)), Token: "a.b.c"}},
		{"an empty token", `{"op":"auth","token":""}`, Request{Op: OpAuth}},
		{"stats", `{"op":"stats","every_ms":1000}`, Request{Op: OpStats, EveryMS: 1000}},
		{"stats off", `{"op":"stats","every_ms":0}`, Request{Op: OpStats}},
		{"subscribe", `{"op":"subscribe","channels":["trade","quote"],"symbols":["BTC/USD","BRK.B"]}`,
			Request{Op: OpSubscribe, Channels: both, Symbols: []string{"BTC/USD", "BRK.B"}}},
		{"all", `{"op":"subscribe","channels":["bar"],"symbols":["*"]}`,
			Request{Op: OpSubscribe, Channels: []market.Channel{market.ChannelBar}, Symbols: []string{"*"}}},
		{"names twice", `{"op":"subscribe","channels":["trade","quote","trade"],"symbols":["B","A","B","A","C"]}`,
			Request{Op: OpSubscribe, Channels: both, Symbols: []string{"B", "A", "C"}}},
		{"the wildcard twice", `{"op":"unsubscribe","channels":["trade","quote"],"symbols":["*","*"]}`,
			Request{Op: OpUnsubscribe, Channels: both, Symbols: []string{"*"}}},
		{"symbols that cannot be, which the node rejects", `{"op":"subscribe","channels":["trade","quote"],"symbols":["","\u0001"]}`,
			Request{Op: OpSubscribe, Channels: both, Symbols: []string{"", "\x01"}}},
		{"escapes", `{"op":"subscribe","channels":["trade","quote"],"symbols":["\ud83d\ude00\\ud800","\u0041"]}`,
			Request{Op: OpSubscribe, Channels: both, Symbols: []string{"😀\\ud800", "A"}}},
		{"options", `{"op":"subscribe","channels":["trade","quote"],"symbols":["A"],"snapshot":false,"interval_ms":60000,"policy":"drop_newest","after":{"trade":{"A":5,"B":0},"bar":{}}}`,
			Request{Op: OpSubscribe, Channels: both, Symbols: []string{"A"}, NoSnapshot: true, IntervalMS: new(int64(60_000)), Policy: "drop_newest",
				After: map[market.Stream]int64{{Channel: market.ChannelTrade, Symbol: "A"}: 5, {Channel: market.ChannelTrade, Symbol: "B"}: 0}}},
		{"options that are null", `{"op":"subscribe","channels":["trade","quote"],"symbols":["A"],"snapshot":null,"interval_ms":null,"policy":null,"after":null}`,
			Request{Op: OpSubscribe, Channels: both, Symbols: []string{"A"}}},
		{"an interval of 0, which is not the server's", `{"op":"subscribe","channels":["trade","quote"],"symbols":["A"],"interval_ms":0,"snapshot":true}`,
			Request{Op: OpSubscribe, Channels: both, Symbols: []string{"A"}, IntervalMS: new(int64(0))}},
		{"a channel of after twice: the last", `{"op":"subscribe","channels":["trade","quote"],"symbols":["A"],"after":{"trade":{"A":5,"B":6},"trade":{"A":7}}}`,
			Request{Op: OpSubscribe, Channels: both, Symbols: []string{"A"}, After: map[market.Stream]int64{{Symbol: "A"}: 7}}},
		{"options of subscribe in unsubscribe", `{"op":"unsubscribe","channels":["trade","quote"],"symbols":["A"],"policy":5,"interval_ms":-1}`,
			Request{Op: OpUnsubscribe, Channels: both, Symbols: []string{"A"}}},
		{"32 levels", `{"op":"ping","x":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`, Request{Op: OpPing}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, refused := decodeBoth(t, tt.text)
			if refused != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, refused, tt.want)
			}
		})
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	const sub = `{"op":"subscribe","id":3,"channels":["trade"],"symbols":["A"]`
	for _, tt := range []struct {
		name, text string
		id         bool   // it is 3 and comes back
		says       string // part of the message
	}{
		{"nothing", ``, false, "JSON"},
		{"no JSON", `{"op":"ping","id":3`, false, "JSON"},
		{"a comma too many", `{"op":"ping","id":3,}`, false, "JSON"},
		{"two requests", `{"op":"ping","id":3}{}`, false, "JSON"},
		{"an array", `["ping"]`, false, "map"},
		{"null", `null`, false, "map"},
		{"33 levels", `{"op":"ping","id":3,"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`, false, "levels"},
		{"half a surrogate pair", sub[:len(sub)-1] + `,"A\ud800"]}`, false, "surrogate"},
		{"the other half", sub[:len(sub)-1] + `,"A\udc00"]}`, false, "surrogate"},
		{"two first halves", sub[:len(sub)-1] + `,"A\ud800\ud800"]}`, false, "surrogate"},
		{"text that is not UTF-8", sub + ",\"x\":\"\xff\"}", false, "UTF-8"},
		{"a number that no float holds", `{"op":"ping","id":3,"x":1e400}`, false, "number"},
		{"no op", `{"id":3}`, true, "op: missing"},
		{"an op that is null", `{"id":3,"op":null}`, true, "op"},
		{"an op that is a number", `{"id":3,"op":1}`, true, "op"},
		{"an unknown op", `{"id":3,"op":"jump"}`, true, `op: "jump"`},
		{"an op in capitals", `{"id":3,"op":"PING"}`, true, "op"},
		{"an id that is text", `{"op":"ping","id":"3"}`, false, "id"},
		{"an id with a fraction", `{"op":"ping","id":3.0}`, false, "id"},
		{"an id with an exponent", `{"op":"ping","id":3e0}`, false, "id"},
		{"an id above int64", `{"op":"ping","id":9223372036854775808}`, false, "id"},
		{"an id below int64", `{"op":"ping","id":-9223372036854775809}`, false, "id"},
		{"auth without a token", `{"op":"auth","id":3}`, true, "token: missing"},
		{"a token that is null", `{"op":"auth","id":3,"token":null}`, true, "token"},
		{"stats without every_ms", `{"op":"stats","id":3}`, true, "every_ms: missing"},
		{"stats every -1 ms", `{"op":"stats","id":3,"every_ms":-1}`, true, "every_ms"},
		{"stats every 1.5 ms", `{"op":"stats","id":3,"every_ms":1.5}`, true, "every_ms"},
		{"no channels", `{"op":"subscribe","id":3,"symbols":["A"]}`, true, "channels: missing"},
		{"empty channels", `{"op":"subscribe","id":3,"channels":[],"symbols":["A"]}`, true, "channels"},
		{"channels that are text", `{"op":"subscribe","id":3,"channels":"trade","symbols":["A"]}`, true, "channels"},
		{"a channel that is null", `{"op":"subscribe","id":3,"channels":["trade",null],"symbols":["A"]}`, true, "channels"},
		{"an unknown channel", `{"op":"unsubscribe","id":3,"channels":["trade","book"],"symbols":["A"]}`, true, `channels: "book"`},
		{"no symbols", `{"op":"unsubscribe","id":3,"channels":["trade"]}`, true, "symbols: missing"},
		{"empty symbols", `{"op":"subscribe","id":3,"channels":["trade"],"symbols":[]}`, true, "symbols"},
		{"symbols that are an object", `{"op":"subscribe","id":3,"channels":["trade"],"symbols":{"A":1}}`, true, "symbols"},
		{"a symbol that is a number", `{"op":"subscribe","id":3,"channels":["trade"],"symbols":["A",5]}`, true, "symbols"},
		{"the wildcard in company", `{"op":"subscribe","id":3,"channels":["trade"],"symbols":["A","*"]}`, true, "stands alone"},
		{"a snapshot of 1", sub + `,"snapshot":1}`, true, "snapshot"},
		{"an interval above a minute", sub + `,"interval_ms":60001}`, true, "interval_ms"},
		{"an interval below 0", sub + `,"interval_ms":-1}`, true, "interval_ms"},
		{"an interval that is text", sub + `,"interval_ms":"5"}`, true, "interval_ms"},
		{"an unknown policy", sub + `,"policy":"keep"}`, true, "policy"},
		{"an empty policy", sub + `,"policy":""}`, true, "policy"},
		{"a policy that is a number", sub + `,"policy":1}`, true, "policy"},
		{"after that is a list", sub + `,"after":[]}`, true, "after"},
		{"after of an unknown channel", sub + `,"after":{"book":{}}}`, true, "after"},
		{"after of null", sub + `,"after":{"trade":null}}`, true, "after"},
		{"after a negative seq", sub + `,"after":{"trade":{"A":-1}}}`, true, "after"},
		{"after a fraction", sub + `,"after":{"trade":{"A":1.0}}}`, true, "after"},
		{"after a seq that is null", sub + `,"after":{"trade":{"A":null}}}`, true, "after"},
		{"the last of a field twice is wrong", sub + `,"policy":"conflate","policy":5}`, true, "policy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, refused := decodeBoth(t, tt.text)
			if refused == nil {
				t.Fatalf("got %+v", got)
			}
			if refused.Code != CodeBadRequest || !strings.Contains(refused.Error(), tt.says) {
				t.Errorf("refused with %d %q, want %q in it", refused.Code, refused.Message, tt.says)
			}
			if hasID := refused.ID != nil && *refused.ID == 3; hasID != tt.id || refused.ID != nil && !hasID {
				t.Errorf("id %v", refused.ID)
			}
		})
	}
}

func TestMessagePackRequestsThatJSONCannotSay(t *testing.T) {
	const ping = "a26f70 a470696e67" // "op": "ping"
	for _, tt := range []struct {
		name, request string
		ok            bool
	}{
		{"an unknown field of bytes", "82" + ping + "a178 c40100", true},
		{"an unknown field of an extension", "82" + ping + "a178 c7010500", true},
		{"an unknown field with keys of numbers", "82" + ping + "a178 8101c0", true},
		{"an unknown field of NaN", "82" + ping + "a178 cb7ff8000000000000", true},
		{"an id in a longer form than need be", "82" + ping + "a26964 d30000000000000003", true},
		{"an id of 2^63", "82" + ping + "a26964 cf8000000000000000", false},
		{"an id of bytes", "82" + ping + "a26964 c40103", false},
		{"an op of bytes", "81 a26f70 c40470696e67", false},
		{"a key that is a number", "82" + ping + "01 02", false},
		{"a key that is nil", "82" + ping + "c0 02", false},
		{"a key that is bytes", "82" + ping + "c40178 02", false},
		{"text that is not UTF-8", "82" + ping + "a178 a1ff", false},
		{"a symbol of bytes", "83 a26f70 a9737562736372696265 a86368616e6e656c73 91a57472616465 a773796d626f6c73 91c40141", false},
		{"bytes after it", "81" + ping + "c0", false},
		{"a map larger than what follows", "df ffffffff" + ping, false},
		{"the unused type byte", "82" + ping + "a178 c1", false},
		{"nothing", "", false},
	} {
		got, refused := DecodeRequest(MsgPack, fromHex(t, tt.request))
		if tt.ok != (refused == nil) || tt.ok && got.Op != OpPing {
			t.Errorf("%s: got %+v, %v", tt.name, got, refused)
		}
	}
}

func TestRequestsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genRequest.Draw(t, "request")
		for _, e := range []Encoding{MsgPack, JSON} {
			data, err := AppendRequest([]byte("before"), e, &want)
			if err != nil {
				t.Fatal(err)
			}
			got, refused := DecodeRequest(e, data[len("before"):])
			if refused != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%v: got %+v, %v\nwant %+v", e, got, refused, want)
			}
		}
	})
}

func TestARequestThatWouldBeRefusedIsNotWritten(t *testing.T) {
	trade := []market.Channel{market.ChannelTrade}
	for _, q := range []Request{
		{},
		{Op: "jump"},
		{Op: OpAuth, Token: "\xff"},
		{Op: OpSubscribe, Symbols: []string{"A"}},
		{Op: OpSubscribe, Channels: trade},
		{Op: OpSubscribe, Channels: []market.Channel{9}, Symbols: []string{"A"}},
		{Op: OpSubscribe, Channels: trade, Symbols: []string{"A"}, After: map[market.Stream]int64{{Channel: 9}: 1}},
		{Op: OpSubscribe, Channels: trade, Symbols: []string{"A"}, IntervalMS: new(int64(-1))},
		{Op: OpStats, EveryMS: -1},
	} {
		for _, e := range []Encoding{MsgPack, JSON} {
			if got, err := AppendRequest([]byte("before"), e, &q); err == nil || string(got) != "before" {
				t.Errorf("%v of %+v: %q, %v", e, q, got, err)
			}
		}
	}
}
