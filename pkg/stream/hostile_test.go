package stream_test

import (
	"bytes"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

// Who can publish on NATS can send anything. It ends neither the node nor reaches a subscriber,
// and the stream goes on behind it.
func TestBadPayloadsReachNobody(t *testing.T) {
	bothEncodings(t, func(t *testing.T, enc codec.Encoding) {
		r := newRig(t, stream.Config{})
		r.announce("A", "B")
		c, w := r.dial(enc), r.dial(enc)
		c.begin(`"channels":["trade","quote"],"symbols":["A"]`, 2)
		w.begin(`"channels":["trade","quote","bar"],"symbols":["*"]`, 6)
		r.trade("A")
		nextOf[market.Trade](c)
		nextOf[market.Trade](w)

		tradeA := market.Stream{Channel: market.ChannelTrade, Symbol: "A"}
		good := appendTrade(t, nil, "A", 2)
		payloads := map[string][]byte{
			"nothing":                       {},
			"nil":                           {0xc0},
			"no MessagePack":                {0xc1},
			"four billion elements":         {0xdd, 0xff, 0xff, 0xff, 0xff},
			"a string of four gigabytes":    {0x98, 0xdb, 0xff, 0xff, 0xff, 0xff},
			"arrays without end":            bytes.Repeat([]byte{0x91}, 100_000),
			"half a trade":                  good[:len(good)/2],
			"a trade and a half":            append(bytes.Clone(good), good[:9]...),
			"a trade of another symbol":     appendTrade(t, nil, "B", 2),
			"a trade with a seq of 0":       bytes.Replace(good, []byte{0xa1, 'A', 0x02}, []byte{0xa1, 'A', 0x00}, 1),
			"a negative seq":                bytes.Replace(good, []byte{0xa1, 'A', 0x02}, []byte{0xa1, 'A', 0xff}, 1),
			"a hole inside":                 appendTrade(t, bytes.Clone(good), "A", 4),
			"an answer in place of a trade": codec.AppendPong(nil, nil, 1),
			"a goodbye":                     codec.AppendBye(nil, 1012, "leave", 0),
			"a gap":                         codec.AppendGap(nil, tradeA, 2, 1<<40, codec.ReasonUpstream),
			"JSON":                          []byte(`["t","A",2,1,1,1,"b","x"]`),
			"the last seq that there is":    bytes.Replace(good, []byte{0xa1, 'A', 0x02}, append([]byte{0xa1, 'A', 0xcf, 0x7f}, bytes.Repeat([]byte{0xff}, 7)...), 1),
			"a seq beyond all clocks":       appendTrade(t, nil, "A", market.SeqMax+1),
			"a reset to the end":            append(codec.AppendGap(nil, tradeA, 2, math.MaxInt64-1, codec.ReasonReset), good...),
			"nearly all that NATS carries":  bytes.Repeat(good, 1_000_000/len(good)),
			"a symbol that is no UTF-8":     bytes.Replace(good, []byte{0xa1, 'A'}, []byte{0xa1, 0xff}, 1),
		}
		for name, body := range payloads {
			t.Log(name)
			r.publish(tradeA, body)
		}
		r.publish(market.Stream{Channel: market.ChannelBar, Symbol: "A"}, good)
		r.await("the node to have refused them all", func() bool {
			return int(counter(t, r, "tickcast_upstream_bad_total")) >= len(payloads)+1
		})
		for _, who := range []*client{c, w} {
			who.quiet("bad payloads")
		}
		seq := r.trade("A")
		for _, who := range []*client{c, w} {
			if tr := nextOf[market.Trade](who); tr.Seq != seq || tr.Symbol != "A" {
				t.Errorf("got %+v, want seq %d", tr, seq)
			}
		}
		if status, _ := r.fetch("/v1/snapshot?symbols=A"); status != http.StatusOK {
			t.Errorf("snapshot %d", status)
		}
	})
}

// Who may publish under any subject makes nothing known by nonsense, and nothing of it is stored
// for long names, names that are no text, or subjects that are none of ours.
func TestHostileSubjectsMakeNothingKnown(t *testing.T) {
	r := newRig(t, stream.Config{})
	r.announce("A")
	w := r.dial(codec.MsgPack)
	w.begin(`"channels":["trade","quote","bar"],"symbols":["*"]`, 3)
	nc, err := nats.Connect(r.bus.Status().URL)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	good := func(symbol string) []byte { return appendTrade(t, nil, symbol, 1) }
	hostile := map[string][]byte{
		"tick.trade.NEW": []byte("nonsense"),
		"tick.trade.=FF": bytes.Replace(good("X"), []byte{0xa1, 'X'}, []byte{0xa1, 0xff}, 1),
		"tick.trade." + strings.Repeat("L", 3000): bytes.Replace(good("X"), []byte{0xa1, 'X'}, append([]byte{0xda, 0x0b, 0xb8}, strings.Repeat("L", 3000)...), 1),
		"tick.trade.a.b.c":                        good("X"),
		"tick.trade.%FF":                          bytes.Replace(good("X"), []byte{0xa1, 'X'}, []byte{0xa1, 0xff}, 1),
		"tick.trade.%58":                          good("X"), // escaped without need
		"tick.trade.%":                            good("X"),
		"tick.trade.=":                            good("X"),
		"tick.quote.NEW":                          good("NEW"), // a trade among the quotes
		"tick.bar." + strings.Repeat("deep.", 100) + "z": good("z"),
		"dir.=FF":                          []byte("trade"),
		"dir.%FF":                          []byte("trade"),
		"dir.%00":                          []byte("trade"),
		"dir." + strings.Repeat("L", 3000): []byte("trade"),
		"dir.NEW":                          []byte("tape,\xff"),
	}
	for subject, body := range hostile {
		if err := nc.Publish(subject, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	seq := r.trade("A")
	if tr := nextOf[market.Trade](w); tr.Symbol != "A" || tr.Seq != seq {
		t.Errorf("got %+v", tr)
	}
	w.quiet("hostile subjects")
	if body := r.get("/v1/symbols"); strings.TrimSpace(body) != `[{"symbol":"A","channels":["trade","quote","bar"]}]` {
		t.Errorf("known: %.300s", body)
	}
	if counter(t, r, "tickcast_upstream_bad_total") == 0 {
		t.Error("nothing is counted")
	}
}

// counter reads one of the node's metrics.
func counter(t *testing.T, r *rig, name string) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(r.node)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// Addresses have bounds of their own.
func TestConnectionsOfAnAddress(t *testing.T) {
	r := newRig(t, stream.Config{PerAddress: 2})
	g := guardedRig{rig: r}
	first, _ := r.dial(codec.JSON), r.dial(codec.JSON)
	if got := g.knock(nil, ""); got != http.StatusTooManyRequests {
		t.Errorf("a third: status %d", got)
	}
	if got := g.knock(http.Header{"X-Forwarded-For": {"198.51.100.7"}}, ""); got != http.StatusTooManyRequests {
		t.Errorf("a stranger's word: status %d", got)
	}
	_ = first.ws.NetConn().Close()
	r.await("a place to be free", func() bool { return g.knock(nil, "") == 101 })
}
