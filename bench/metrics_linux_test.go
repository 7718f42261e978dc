package main

import (
	"context"
	"fmt"
	"maps"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tickcast/tickcast/bench/internal/fleet"
	"github.com/tickcast/tickcast/bench/internal/tape"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/feed"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

// A crowd trades and quotes when it is told to: so many rounds of every symbol.
type crowd chan int

func (crowd) Live() bool { return true }

func (c crowd) Run(ctx context.Context, sink feed.Sink) error {
	symbols := tape.Symbols(20)
	for _, name := range symbols {
		sink.Announce(feed.Instrument{Symbol: name, Channels: []market.Channel{market.ChannelTrade, market.ChannelQuote}})
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case rounds := <-c:
			for i := range rounds * len(symbols) {
				name, now := symbols[i%len(symbols)], time.Now().UnixNano()
				sink.Trade(&market.Trade{Symbol: name, Time: now, Price: 1, Size: 1, ID: "0123456789"})
				sink.Quote(&market.Quote{Symbol: name, Time: now, BidPrice: 1, AskPrice: 2})
			}
		}
	}
}

// figures are the node's metrics, summed over labels but for those that the test tells apart.
func figures(t *testing.T, n *stream.Node) map[string]int64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(n)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]int64)
	for _, f := range families {
		name := strings.TrimPrefix(f.GetName(), "tickcast_")
		for _, m := range f.GetMetric() {
			v := int64(m.GetGauge().GetValue() + m.GetCounter().GetValue()) // one of them is
			all[name] += v
			for _, l := range m.GetLabel() {
				all[name+" "+l.GetValue()] += v
			}
			if h := m.GetHistogram(); h != nil {
				all[name+" count"], all[name+" sum"] = int64(h.GetSampleCount()), int64(h.GetSampleSum())
			}
		}
	}
	return all
}

// What a node says of itself is what its subscribers counted, slow ones among them.
func TestMetricsAgreeWithTheLoad(t *testing.T) {
	const subscribers, symbols, rounds = 20, 20, 100
	for _, tt := range []struct {
		engine  string
		dialect fleet.Tickcast
	}{
		{stream.EngineEpoll, fleet.Tickcast{}},
		{stream.EngineGoroutine, fleet.Tickcast{Encoding: codec.JSON}},
	} {
		t.Run(tt.engine+", "+tt.dialect.Encoding.String(), func(t *testing.T) {
			source := make(crowd)
			r := newRig(t, source, stream.Config{Engine: tt.engine, PendingBytes: 64 << 10, SlowTimeout: patience}, (*httptest.Server).Start)
			u, err := url.Parse(r.url)
			if err != nil {
				t.Fatal(err)
			}
			plan := fleet.Plan{Names: tape.Symbols(symbols), PerMember: symbols, Pick: "fixed", SlowShare: 0.25, Slow: []string{"throttled"}}
			members := make([]fleet.Member, subscribers)
			for i := range members {
				members[i] = plan.Member(i)
			}
			tt.dialect.Channels = []market.Channel{market.ChannelTrade, market.ChannelQuote}
			f, err := fleet.New(fleet.Config{URL: u, Dialect: &tt.dialect, Members: members, ConnectRate: 1000, ReadRate: 300_000})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := f.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			total, got := fleet.NewReport(), map[string]int64{}
			look := func(enough func() bool) func() bool {
				return func() bool {
					seen := f.Take()
					total.Add(&seen)
					got = figures(t, r.node)
					return enough()
				}
			}
			await(t, "every snapshot", look(func() bool { return total.Snapshots == subscribers*symbols*2 }))
			published := int64(0)
			await(t, "some to be slow", look(func() bool {
				source <- rounds
				published += 2 * symbols * rounds // a trade and a quote each
				return got["events_dropped_total"] > 0 && got["events_conflated_total"] > 0
			}))
			await(t, "every tick, or word of it", look(func() bool {
				return total.Ticks+total.Missed+got["events_conflated_total"] == subscribers*published
			}))
			agree := func(want func() map[string]int64) {
				t.Helper()
				same := func() bool {
					return !slices.ContainsFunc(slices.Collect(maps.Keys(want())), func(name string) bool { return got[name] != want()[name] })
				}
				defer func() {
					for name, v := range want() {
						if got[name] != v {
							t.Errorf("%s is %d, and the subscribers counted %d", name, got[name], v)
						}
					}
				}()
				await(t, "metrics and counts to agree", look(same))
			}
			counted := func() map[string]int64 {
				return map[string]int64{
					"connections_opened_total": subscribers, "upgrades_refused_total": 0, "auth_failures_total": 0,
					"events_sent_total": total.Events, "batches_sent_total": total.Messages, "bytes_sent_total": total.Bytes,
					"wire_bytes_sent_total": total.WireBytes,
					"batch_events count":    total.Messages, "batch_events sum": total.Events,
					"gaps_sent_total": total.Gaps, "gaps_sent_total slow": total.Gaps, "events_dropped_total": total.Missed, "events_aggregated_total": 0,
					"upstream_ticks_total": published, "upstream_lost_total": 0, "upstream_dropped_total": 0, "upstream_bad_total": 0, "slow_consumers_cut_total": 0,
				}
			}
			agree(func() map[string]int64 {
				want := counted()
				maps.Copy(want, map[string]int64{
					"connections": subscribers, "subscriptions": subscribers * symbols * 2, "connections_closed_total": 0,
					"slow_consumers": 0, "pending_bytes": 0,
				})
				return want
			})
			events := r.feed.Stats().Events
			if fed := events[market.ChannelTrade] + events[market.ChannelQuote]; fed != published {
				t.Errorf("the feed counts %d ticks, want %d", fed, published)
			}

			r.node.Drain(t.Context(), 100*time.Millisecond)
			agree(func() map[string]int64 {
				want := counted() // with the goodbyes
				maps.Copy(want, map[string]int64{"connections": 0, "subscriptions": 0, "connections_closed_total": subscribers})
				for code, n := range total.Closes {
					want[fmt.Sprint("connections_closed_total ", code)] = n
				}
				return want
			})
			if total.Closes[1012] != subscribers {
				t.Errorf("close codes %v, want 1012 for all", total.Closes)
			}
		})
	}
}
