package stream_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/bus"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

// A session's row tells the same as the metrics, which are the sum of all.
func TestRowsOfSessionsAgreeWithTheMetrics(t *testing.T) {
	r := newRig(t, stream.Config{Name: "n"})
	r.announce("A")
	r.trade("A")
	text, packed := r.dial(codec.JSON), r.dial(codec.MsgPack)
	text.begin(`"channels":["trade"],"symbols":["*"]`, 1)
	packed.begin(`"channels":["trade","quote"],"symbols":["A"],"interval_ms":50`, 2)
	for range 20 {
		r.quote("A")
	}
	last := r.trades("A", 100)
	for _, c := range []*client{text, packed} {
		for done := false; !done; {
			tr, ok := c.next().(market.Trade)
			done = ok && tr.Seq == last
		}
	}

	type row struct {
		ID, Encoding                         string
		OpenedAt                             time.Time `json:"opened_at"`
		Subscriptions, Wildcards             float64
		Conflated, Dropped, Aggregated, Sent float64
		SentBytes                            float64 `json:"sent_bytes"`
		Pending                              float64 `json:"pending_bytes"`
		RTT                                  float64 `json:"rtt_us"`
		Slow                                 bool
	}
	var rows []row
	var sum row
	r.await("the rows to add up to the metrics", func() bool {
		m := r.metrics()
		rows, sum = nil, row{}
		if err := json.Unmarshal([]byte(r.get("/v1/sessions")), &rows); err != nil {
			t.Fatal(err)
		}
		for _, one := range rows {
			sum.Subscriptions += one.Subscriptions + one.Wildcards
			sum.Conflated += one.Conflated
			sum.Sent += one.Sent
			sum.SentBytes += one.SentBytes
		}
		return sum.Sent == m["events_sent_total"] && sum.SentBytes == m["bytes_sent_total"] && sum.Conflated == m["events_conflated_total"] && sum.Subscriptions == m["subscriptions"]
	})
	if len(rows) != 2 || sum.Subscriptions != 3 || sum.Conflated == 0 {
		t.Fatalf("%d rows, %+v in all, want some of 20 quotes conflated", len(rows), sum)
	}
	for _, one := range rows {
		if wild := one.Encoding == codec.JSON.String(); wild != (one.Wildcards == 1) || wild != (one.Subscriptions == 0) {
			t.Errorf("%+v: a wildcard or two streams are where they are not", one)
		}
		if one.Slow || one.Dropped+one.Aggregated+one.Pending > 0 || one.OpenedAt.IsZero() || one.ID[:2] != "n-" {
			t.Errorf("got %+v", one)
		}
	}
}

// Each row provokes what one metric counts.
func TestUpstreamMetrics(t *testing.T) {
	r := newRig(t, stream.Config{})
	r.announce("A")
	c := r.dial(codec.MsgPack)
	r.trade("A")
	c.begin(`"channels":["trade","quote"],"symbols":["A"]`, 2)
	trades := market.Stream{Channel: market.ChannelTrade, Symbol: "A"}
	before := r.metrics()
	rise := func(want map[string]float64) {
		t.Helper()
		all := make(map[string]float64)
		for name, n := range want {
			all[name] = before[name] + n
		}
		r.expect(all)
		before = r.metrics()
	}

	r.trades("A", 3)
	rise(map[string]float64{"upstream_messages_total": 1, "upstream_ticks_total": 3, "upstream_repeats_total": 0, "upstream_lag_seconds_count": 1})

	r.publish(trades, appendTrade(t, appendTrade(t, nil, "A", 3), "A", 4))
	rise(map[string]float64{"upstream_messages_total": 1, "upstream_ticks_total": 0, "upstream_repeats_total": 2, "upstream_lag_seconds_count": 0})

	r.publish(trades, []byte("no tick"))
	rise(map[string]float64{"upstream_messages_total": 1, "upstream_bad_total": 1})

	r.seqs[market.Stream{Channel: market.ChannelQuote, Symbol: "A"}] = 10
	r.quote("A")
	r.seqs[market.Stream{Channel: market.ChannelQuote, Symbol: "A"}] = 15 // 12 to 15 are lost
	r.quote("A")
	rise(map[string]float64{"upstream_lost_total": 4, "upstream_gaps_total{quote}": 1, "gaps_sent_total{upstream}": 1})

	r.up.mu.Lock()
	r.up.losing = true
	r.up.mu.Unlock()
	r.trades("A", 5)
	r.announce("mark") // the five have come by when this has
	r.up.mu.Lock()
	r.up.losing = false
	r.up.mu.Unlock()
	r.trade("A")
	rise(map[string]float64{"upstream_filled_total": 5, "upstream_ticks_total": 6, "upstream_lost_total": 0, "upstream_gaps_total{trade}": 0})
	if m := r.metrics(); m["history_searches_total"] == 0 || m["history_bytes"] == 0 {
		t.Errorf("%v searches, %v bytes of history", m["history_searches_total"], m["history_bytes"])
	}

	// A feed that begins anew says so in front of its ticks.
	const unused = 1_000_000
	body := codec.AppendGap(nil, trades, 1, unused, codec.ReasonReset)
	r.publish(trades, appendTrade(t, body, "A", unused+1))
	rise(map[string]float64{"upstream_resets_total": 1, "gaps_sent_total{reset}": 1, "upstream_lost_total": 0, "upstream_ticks_total": 1})

	const late = 30 * time.Second
	tick := market.Trade{Symbol: "A", Seq: unused + 2, Time: time.Now().Add(-late).UnixNano(), Price: 1, Size: 1}
	body, err := codec.AppendTrade(nil, &tick)
	if err != nil {
		t.Fatal(err)
	}
	sum := before["upstream_lag_seconds_sum"]
	r.publish(trades, body)
	rise(map[string]float64{"upstream_lag_seconds_count": 1})
	if lag := before["upstream_lag_seconds_sum"] - sum; lag < late.Seconds() || lag > (late+patience).Seconds() {
		t.Errorf("a trade of %v ago lagged %v s", late, lag)
	}

	if status, _ := r.fetch("/v1/stream"); status != http.StatusUpgradeRequired {
		t.Errorf("a request without an upgrade got %d", status)
	}
	rise(map[string]float64{"upgrades_refused_total{426}": 1, "upgrades_refused_total{503}": 0, "connections_opened_total": 0})
}

func TestAuthFailuresAreCountedByReason(t *testing.T) {
	g := newGuardedRig(t, stream.Config{AuthTimeout: patience})
	g.ask("/v1/symbols", "")
	g.ask("/v1/symbols", "nonsense")
	old := token(t, `{}`, "exp", time.Now().Add(-time.Hour).Unix())
	g.knock(http.Header{"Authorization": {"Bearer " + old}}, "")
	g.knock(http.Header{"Authorization": {"Basic me"}}, "")
	g.dial(codec.JSON).authenticate(old)
	g.enter(token(t, `{}`))
	g.expect(map[string]float64{
		"auth_failures_total{missing}": 1, "auth_failures_total{refused}": 4, "auth_failures_total{late}": 0, "auth_failures_total{keys}": 0,
		"connections_opened_total": 2, "connections": 2,
	})

	hasty := newGuardedRig(t, stream.Config{AuthTimeout: time.Millisecond})
	hasty.dial(codec.JSON).closeCode() // says nothing
	hasty.expect(map[string]float64{
		"auth_failures_total{late}": 1, "auth_failures_total{refused}": 0,
		"connections_opened_total": 1, "connections": 0, "connections_closed_total{4401}": 1,
	})
}

func TestMessagesThatCameTooFastAreCounted(t *testing.T) {
	r := newRigOn(t, newBusWith(t, bus.Config{QueueMessages: 2}), stream.Config{})
	r.announce("A")
	r.dial(codec.MsgPack).begin(`"channels":["trade"],"symbols":["A"]`, 1)
	trades := market.Stream{Channel: market.ChannelTrade, Symbol: "A"}
	r.await("a message to be dropped", func() bool {
		for range 100 {
			r.seqs[trades]++
			if err := r.bus.Publish(trades, appendTrade(t, nil, "A", r.seqs[trades])); err != nil {
				t.Fatal(err)
			}
		}
		return r.bus.Status().Dropped > 0
	})
	r.await("its count", func() bool { return r.metrics()["upstream_dropped_total"] == float64(r.bus.Status().Dropped) })
}
