package stream

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"pgregory.net/rapid"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
)

// The obvious twin keeps every sample, and looks at the newest of the last minute.
func TestHopsAreThoseOfTheLastMinute(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h hops
		var all []sample
		now := int64(0)
		for range rapid.IntRange(1, 40).Draw(t, "bursts") {
			now += rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "pause")
			for range rapid.SampledFrom([]int{1, 3, 300}).Draw(t, "ticks") {
				took := rapid.Int64Range(-1e9, 1e9).Draw(t, "took")
				h.add(hopFeed, now, took)
				all = append(all, sample{now, took})
			}
			var took []int64
			for _, s := range all[max(0, len(all)-hopSamplesMax):] {
				if now-s.at < int64(time.Minute) {
					took = append(took, s.took)
				}
			}
			slices.Sort(took)
			want := codec.Hop{Median: time.Duration(took[(len(took)-1)/2]), P99: time.Duration(took[len(took)-1-len(took)/100])}
			h.sum(now)
			if got := h.told.Load(); got.Feed == nil || *got.Feed != want || got.Venue != nil {
				t.Fatalf("got %+v, want %+v of the feed", got, want)
			}
		}
		if h.sum(now + int64(time.Minute)); h.told.Load() != nil {
			t.Fatal("a minute later there is something left")
		}
	})
}

func TestWhatAMessageTellsOfItsWay(t *testing.T) {
	const wall, s = int64(1_700_000_000e9), int64(time.Second)
	all := func(d time.Duration) *codec.Hop { return &codec.Hop{Median: d, P99: d} }
	for _, tt := range []struct {
		name  string
		times codec.Times
		want  codec.Hops
	}{
		{"all hops", codec.Times{Event: wall - 10*s, Taken: wall - 4*s, Published: wall - 3*s},
			codec.Hops{Venue: all(6 * time.Second), Feed: all(time.Second), NATS: all(3 * time.Second)}},
		{"clocks that differ", codec.Times{Event: wall + 10*s, Taken: wall + 4*s, Published: wall + 5*s},
			codec.Hops{Venue: all(-6 * time.Second), Feed: all(time.Second), NATS: all(-5 * time.Second)}},
		{"a recording of last year", codec.Times{Event: wall - 365*24*3600*s, Taken: wall, Published: wall},
			codec.Hops{Feed: all(0), NATS: all(0)}},
		{"nonsense", codec.Times{Event: -1 << 62, Taken: 1 << 61, Published: 5}, codec.Hops{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h hops
			h.came(tt.times, 1, wall)
			h.sum(1)
			var got codec.Hops
			if told := h.told.Load(); told != nil {
				got = *told
			}
			for i, pair := range [][2]*codec.Hop{{got.Venue, tt.want.Venue}, {got.Feed, tt.want.Feed}, {got.NATS, tt.want.NATS}, {got.Node, nil}} {
				if (pair[0] == nil) != (pair[1] == nil) || pair[0] != nil && *pair[0] != *pair[1] {
					t.Errorf("%v is %v, want %v", hop(i), pair[0], pair[1])
				}
			}
		})
	}
}

func TestHopsBelowZeroCountAsNone(t *testing.T) {
	var h hops
	h.add(hopVenue, 1, -5e9)
	var m dto.Metric
	if err := latencyBounds.metric(prometheus.NewDesc("x", "", []string{"hop"}, nil), []*histogram{&h.since[hopVenue]}, "venue").Write(&m); err != nil {
		t.Fatal(err)
	}
	if got := m.GetHistogram(); got.GetSampleCount() != 1 || got.GetSampleSum() != 0 || got.GetBucket()[0].GetCumulativeCount() != 1 {
		t.Errorf("got %v", got)
	}
}

// publishTimed is publish of one trade whose times are known, and which came a second ago.
func (h *handShard) publishTimed(symbol string, to *hops) {
	h.publish(symbol, 1)
	h.inbox.mu.Lock()
	defer h.inbox.mu.Unlock()
	it := &h.inbox.items[len(h.inbox.items)-1]
	it.trace, it.chunk.At = &trace{timed: to}, h.clock.now()-1e9
}

func TestTheNodesPartEndsWithTheFlush(t *testing.T) {
	h := newHandShard(t, Config{})
	h.subscriber(codec.MsgPack, backpressure.DropOldest, "A")
	var of hops
	taken := func() int { return len(of.recent[hopNode]) }

	h.publishTimed("A", &of)
	h.turn() // within the window
	if taken() != 0 {
		t.Fatal("taken before the flush")
	}
	h.step()
	if taken() != 1 || of.recent[hopNode][0].took < 1e9 {
		t.Errorf("samples %v, want one of a second or more", of.recent[hopNode])
	}
	h.publish("A", 1)
	h.step()
	if taken() != 1 || len(h.groups[0].timings) != 0 {
		t.Errorf("%d samples, %d wait; want none more", taken(), len(h.groups[0].timings))
	}
}
