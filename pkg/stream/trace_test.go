package stream

import (
	"reflect"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
)

// publishTraced is publish of one trade that is followed.
func (h *handShard) publishTraced(symbol string, to *[]Flush) {
	h.publish(symbol, 1)
	h.inbox.mu.Lock()
	defer h.inbox.mu.Unlock()
	h.inbox.items[len(h.inbox.items)-1].trace = &trace{flushed: func(f Flush) { *to = append(*to, f) }}
}

func TestATraceTellsOfTheFlushThatItsTickIsIn(t *testing.T) {
	h := newHandShard(t, Config{})
	reads := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A", "B")
	behind := h.subscriber(codec.JSON, backpressure.DropOldest, "A")
	behind.stalled = true
	h.publish("A", 1)
	h.step() // now it is
	var got []Flush
	h.publishTraced("A", &got)
	h.readClock()
	h.groups[0].due.Store(0)
	h.turn()
	if len(got) != 1 {
		t.Fatalf("told of %d flushes, want 1", len(got))
	}
	f := got[0]
	if f.Sessions != 2 || len(f.Socket) != 2 {
		t.Fatalf("%+v, want two sessions", f)
	}
	for i, want := range []SocketFlush{
		{Session: reads.s.id(), Encoding: codec.MsgPack},
		{Session: behind.s.id(), Encoding: codec.JSON, Waits: true},
	} {
		s := f.Socket[i]
		if s.Done.Before(f.Begun) || f.Begun.Before(f.Gathered) {
			t.Errorf("gathered %v, begun %v, done %v", f.Gathered, f.Begun, s.Done)
		}
		if s.Done = (time.Time{}); s != want {
			t.Errorf("got %+v, want %+v", s, want)
		}
	}
	h.publish("A", 1)
	h.step()
	if len(got) != 1 {
		t.Error("told of ticks that are not followed")
	}
}

func TestATraceTellsOfAFewSessions(t *testing.T) {
	h := newHandShard(t, Config{})
	for range 10 {
		h.subscriber(codec.MsgPack, backpressure.DropOldest, "A")
	}
	var got []Flush
	h.publishTraced("A", &got)
	h.step()
	if len(got) != 1 || got[0].Sessions != 10 || len(got[0].Socket) != socketsTraced {
		t.Errorf("got %+v, want %d of ten sessions", got, socketsTraced)
	}
}

func TestATraceEndsWhereNobodyIsLeft(t *testing.T) {
	h := newHandShard(t, Config{})
	h.tape("A")
	var got []Flush
	h.publishTraced("A", &got)
	h.step()
	if len(got) != 1 || got[0].Sessions != 0 || len(got[0].Socket) != 0 {
		t.Errorf("got %+v, want one flush for nobody", got)
	}
	if len(h.groups[0].traces) != 0 {
		t.Errorf("%d traces stay", len(h.groups[0].traces))
	}
}

// A trace that comes with what is sent because a session does something waits for the flush.
func TestATraceWaitsForItsFlush(t *testing.T) {
	h := newHandShard(t, Config{})
	w := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A")
	var got []Flush
	h.publishTraced("A", &got)
	h.do(func() {}) // has what was gathered pushed at once
	h.turn()        // within the window: nothing is flushed
	if len(got) != 0 || len(w.frames) != 0 {
		t.Fatalf("told of %d flushes, %d frames sent before one was due", len(got), len(w.frames))
	}
	h.step()
	if len(got) != 1 || len(got[0].Socket) != 1 {
		t.Errorf("got %+v, want one session", got)
	}
}

func TestOnlyNewsIsFollowed(t *testing.T) {
	cfg := Config{}.withDefaults()
	var arrivals []Arrival
	cfg.Trace = func(a Arrival) func(Flush) {
		arrivals = append(arrivals, a)
		return func(Flush) {}
	}
	var sent []item
	in := newIngest(deaf{}, &cfg, newClock(), func(_ int, items []item) { sent = append(sent, items...) })
	h := newHandShard(t, Config{})
	s := h.tape("A").stream
	tp := in.tapeOf(s)
	tp.state, tp.wanted = tapeLive, 1
	body := func(seq int64) []byte {
		h.seq = seq - 1
		return h.nextTrade("A").Bytes
	}
	header := map[string][]string{"traceparent": {"x"}}

	in.message(tp.subject, body(1), header)
	in.message(tp.subject, body(1), header) // again
	in.message(tp.subject, body(2), nil)
	in.idle()
	if len(sent) != 2 || sent[0].trace == nil || sent[1].trace != nil {
		t.Fatalf("%d items, traced: %v, %v; want the first of two", len(sent), sent[0].trace != nil, sent[1].trace != nil)
	}
	in.message(tp.subject, body(5), header) // from behind a hole: it waits
	in.message(tp.subject, body(6), nil)
	in.idle()
	if in.trace != nil {
		t.Error("a trace is left to what comes next")
	}
	if len(arrivals) != 3 || !reflect.DeepEqual(arrivals[0].Header, header) || arrivals[0].Stream != s || arrivals[0].Last != 1 || arrivals[0].At.IsZero() {
		t.Errorf("told of arrivals %+v", arrivals)
	}
}

// nextTrade is the next trade of the symbol, not yet published.
func (h *handShard) nextTrade(symbol string) *codec.Chunk {
	h.publish(symbol, 1)
	return h.inbox.take()[0].chunk
}

// What tracing costs a tick that is not followed, while it is on: compare with BenchmarkFanOut
// and BenchmarkIngest, where it is off.
func BenchmarkTraced(b *testing.B) {
	for _, every := range []int{0, 1000, 1} {
		b.Run(map[int]string{0: "off", 1000: "one in 1000", 1: "every one"}[every], func(b *testing.B) {
			h := newHandShard(b, Config{})
			for range 100 {
				w := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A")
				w.s.deflate, w.deaf = false, true
			}
			chunk := h.nextTrade("A")
			tp, n := h.tape("A"), 0
			b.ReportAllocs()
			for b.Loop() {
				n++
				it := item{tape: tp, chunk: chunk}
				if every > 0 && n%every == 0 {
					it.trace = &trace{flushed: func(Flush) {}}
				}
				h.inbox.put(it)
				h.step()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(h.counts.batches.Load()), "ns/frame")
		})
	}
}
