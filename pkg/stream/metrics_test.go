package stream_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

// metrics reads every metric of the node. One with a label is named like
// connections_closed_total{1000}, a histogram has _count and _sum behind that.
func (r *rig) metrics() map[string]float64 {
	r.t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(r.node)
	families, err := registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		name := strings.TrimPrefix(f.GetName(), "tickcast_")
		for _, m := range f.GetMetric() {
			key := name
			for _, l := range m.GetLabel() {
				key += "{" + l.GetValue() + "}"
			}
			all[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue() // one of them is
			if h := m.GetHistogram(); h != nil {
				all[key+"_count"], all[key+"_sum"] = float64(h.GetSampleCount()), h.GetSampleSum()
			}
		}
	}
	return all
}

// expect waits until the metrics are as given: a turn publishes them when it has sent.
func (r *rig) expect(want map[string]float64) {
	r.t.Helper()
	var got map[string]float64
	defer func() {
		for name, v := range want {
			if got[name] != v {
				r.t.Errorf("%s is %v, want %v", name, got[name], v)
			}
		}
	}()
	r.await("the metrics", func() bool {
		got = r.metrics()
		for name, v := range want {
			if got[name] != v {
				return false
			}
		}
		return true
	})
}

func TestMetricsTellWhatSubscribersGot(t *testing.T) {
	r := newRig(t, stream.Config{MaxConnections: 9})
	r.announce("A")
	r.trade("A")
	stays, leaves := r.dial(codec.JSON), r.dial(codec.MsgPack)
	subs := []*client{stays, leaves}
	for _, c := range subs {
		c.begin(`"channels":["trade"],"symbols":["A"]`, 1)
	}
	r.seqs[market.Stream{Channel: market.ChannelTrade, Symbol: "A"}] = 4 // 2 to 4 are lost on their way
	r.trades("A", 10)
	for _, c := range subs {
		nextOf[codec.Gap](c)
		for range 10 {
			nextOf[market.Trade](c)
		}
	}
	r.trade("A") // live: what came behind the hole may be from the store, and has no arrival
	for _, c := range subs {
		nextOf[market.Trade](c)
	}
	r.expect(map[string]float64{
		"connections": 2, "connections_limit": 9, "connections_opened_total": 2, "subscriptions": 2,
		"gaps_sent_total{upstream}": 2, "gaps_sent_total{slow}": 0, "upstream_gaps_total{trade}": 1,
		"pending_bytes": 0, "slow_consumers": 0, "upstream_connected": 1,
	})

	if err := leaves.ws.WriteClose(1001, nil); err != nil {
		t.Fatal(err)
	}
	leaves.closeCode()
	r.expect(map[string]float64{"connections": 1})
	r.node.Drain(context.Background(), time.Second)
	stays.closeCode()
	var events, batches, bytes float64
	for _, c := range subs {
		for range c.events {
			c.seen = append(c.seen, nil) // bye
		}
		events += float64(len(c.seen))
		batches += float64(len(c.sizes))
		for _, n := range c.sizes {
			bytes += float64(n)
		}
	}
	r.expect(map[string]float64{
		"connections": 0, "subscriptions": 0, "connections_closed_total{1001}": 1, "connections_closed_total{1012}": 1,
		"events_sent_total": events, "batches_sent_total": batches, "bytes_sent_total": bytes,
		"batch_events_sum": events, "batch_events_count": batches,
	})
	m := r.metrics()
	for name, atLeast := range map[string]float64{
		"delivery_seconds_count": 1, "loop_turn_seconds_count": 3,
		"upstream_lag_seconds_count": 1, "upstream_lag_seconds_sum": 1e6, // the rig's trades are of 1970
	} {
		if m[name] < atLeast {
			t.Errorf("%s is %v, want at least %v", name, m[name], atLeast)
		}
	}
}

func TestMetricsFollowASlowSubscriberToItsEnd(t *testing.T) {
	r := newRig(t, stream.Config{PendingBytes: 64 << 10, SlowTimeout: 3 * time.Second})
	r.announce("A")
	stalled := r.stall("A")
	r.await("the subscriber to be slow", func() bool {
		r.trades("A", 500)
		m := r.metrics()
		return m["slow_consumers"] == 1 && m["pending_bytes"] > 0
	})
	r.await("the subscriber to be cut", func() bool { return !strings.Contains(r.get("/v1/sessions"), stalled) })
	r.expect(map[string]float64{
		"slow_consumers": 0, "pending_bytes": 0, "slow_consumers_cut_total": 1,
		fmt.Sprintf("connections_closed_total{%d}", codec.CodeSlowConsumer): 1,
	})
}

// A subscriber names its close code, and must not make a label of it.
func TestCloseCodesAreBounded(t *testing.T) {
	r := newRig(t, stream.Config{})
	for code := uint16(3000); code < 3005; code++ {
		c := r.dial(codec.MsgPack)
		if err := c.ws.WriteMessage(gws.OpcodeCloseConnection, []byte{byte(code >> 8), byte(code)}); err != nil {
			t.Fatal(err)
		}
		c.closeCode()
	}
	r.expect(map[string]float64{"connections": 0, "connections_closed_total{other}": 5})
}
