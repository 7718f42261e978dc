package stream

import (
	"testing"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// TestWhatTheSlowLoseIsCounted states that the counters of the node, and of the session, are
// what the subscriber finds in its gaps and aggregates.
func TestWhatTheSlowLoseIsCounted(t *testing.T) {
	const published = 3000
	for _, policy := range []backpressure.Policy{backpressure.DropOldest, backpressure.DropNewest, backpressure.Aggregate} {
		t.Run(policy.String(), func(t *testing.T) {
			h := newHandShard(t, Config{PendingBytes: 16 << 10})
			w := h.subscriber(codec.MsgPack, policy, "A")
			w.s.deflate = false
			w.stalled = true
			for range published / 10 {
				h.publish("A", 10)
				h.step()
			}
			w.stalled = false
			w.s.passedOn()
			h.step()

			var trades, dropped, aggregated, gaps int64
			for _, frame := range w.frames {
				head := map[byte]int{126: 4, 127: 10}[frame[1]]
				events, err := codec.DecodeBatch(codec.MsgPack, []byte(frame[max(2, head):]))
				if err != nil {
					t.Fatal(err)
				}
				for _, ev := range events {
					switch ev := ev.(type) {
					case market.Trade:
						trades++
					case codec.Gap:
						gaps++
						dropped += ev.To - ev.From + 1
					case market.Aggregate:
						aggregated += ev.ToSeq - ev.FromSeq + 1
					}
				}
			}
			if trades+dropped+aggregated != published {
				t.Errorf("%d trades, %d dropped, %d aggregated, want %d in all", trades, dropped, aggregated, published)
			}
			if dropped+aggregated == 0 || (policy == backpressure.Aggregate) != (aggregated > 0) {
				t.Errorf("%d dropped and %d aggregated under %s", dropped, aggregated, policy)
			}
			slow := 0
			for i, r := range codec.Reasons() {
				if r == codec.ReasonSlow {
					slow = i
				}
			}
			if c := &h.counts; c.dropped.Load() != dropped || c.aggregated.Load() != aggregated || c.gaps[slow].Load() != gaps {
				t.Errorf("the node counts %d dropped, %d aggregated, %d gaps; the subscriber found %d, %d, %d",
					c.dropped.Load(), c.aggregated.Load(), c.gaps[slow].Load(), dropped, aggregated, gaps)
			}
			if row := w.s.row(); row.Dropped != dropped || row.Aggregated != aggregated {
				t.Errorf("the row has %d dropped, %d aggregated", row.Dropped, row.Aggregated)
			}
		})
	}
}
