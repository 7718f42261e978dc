package stream_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

func TestSlowConsumerIsCutAndOthersAreNot(t *testing.T) {
	r := newRig(t, stream.Config{PendingBytes: 64 << 10, SlowTimeout: 300 * time.Millisecond, Shards: 1})
	r.announce("A")
	healthy := r.dial(codec.MsgPack)
	healthy.begin(`"channels":["trade"],"symbols":["A"]`, 1)
	slow := r.stall("A")
	received := int64(0)
	for gone := false; !gone; {
		last := r.trades("A", 500)
		for received < last {
			tr := nextOf[market.Trade](healthy)
			if received++; tr.Seq != received {
				t.Fatalf("healthy subscriber got %d, want %d", tr.Seq, received)
			}
		}
		gone = !strings.Contains(r.get("/v1/sessions"), slow)
	}
}

// stall connects a subscriber that reads nothing after its ack, and returns its address.
func (r *rig) stall(symbol string) string {
	r.t.Helper()
	w := r.raw()
	w.upgrade()
	w.frame(true, 1, []byte(`{"op":"subscribe","channels":["trade"],"symbols":["`+symbol+`"]}`))
	addr := w.LocalAddr().String()
	r.await("the subscription", func() bool { return strings.Contains(r.get("/v1/sessions"), addr) })
	return addr
}

func TestIntervalConflatesQuotesAndKeepsTrades(t *testing.T) {
	r := newRig(t, stream.Config{})
	r.announce("A")
	c := r.dial(codec.MsgPack)
	c.begin(`"channels":["trade","quote"],"symbols":["A"],"interval_ms":200`, 2)
	for range 50 {
		r.trade("A")
		r.quote("A")
	}
	trades, quotes := int64(0), 0
	for last := int64(0); trades < 50 || last < 50; {
		switch ev := c.next().(type) {
		case market.Trade:
			if trades++; ev.Seq != trades {
				t.Fatalf("trade %d, want %d", ev.Seq, trades)
			}
		case market.Quote:
			quotes++
			if ev.Seq <= last {
				t.Fatalf("quote %d after %d", ev.Seq, last)
			}
			last = ev.Seq
		}
	}
	if quotes >= 50 {
		t.Errorf("%d quotes of 50: none was conflated", quotes)
	}
}
