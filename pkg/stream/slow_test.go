package stream

import (
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
)

// Whoever does not take what it was sent is cut, though its policy makes what waits so small
// that the kernel has room for it now and then.
func TestOverIsWhoHasNotTakenWhatWasSent(t *testing.T) {
	const limit, sent = 10 * time.Second, 100_000
	for _, tt := range []struct {
		name  string
		takes int64 // bytes a second
		cut   bool
	}{
		{"takes nothing", 0, true},
		{"takes a little", sent / 12, true},
		{"takes it just in time", sent / 8, false},
	} {
		for _, policy := range []backpressure.Policy{backpressure.DropOldest, backpressure.DropNewest, backpressure.Aggregate} {
			t.Run(tt.name+", "+policy.String(), func(t *testing.T) {
				h := newHandShard(t, Config{PendingBytes: 4 << 10, SlowTimeout: limit})
				w := h.subscriber(codec.MsgPack, policy, "A")
				w.deaf = true
				w.kernel = kernelView{Queued: sent, Acked: 1}
				w.s.busy = true // with something that the kernel does not take
				h.publish("A", 1000)
				h.step()
				if !w.s.queue.Over() {
					t.Fatal("1,000 trades fit the budget")
				}
				for end := h.now + int64(limit) + int64(2*time.Second); h.now < end && !w.s.ending(); {
					h.now += int64(slowCheck)
					taken := min(tt.takes/int64(time.Second/slowCheck), int64(w.kernel.Queued))
					w.kernel.Queued, w.kernel.Acked = w.kernel.Queued-int(taken), w.kernel.Acked+taken
					w.s.passedOn() // the next message fits in
					h.step()
				}
				if w.s.ending() != tt.cut {
					t.Errorf("cut is %v after %v", w.s.ending(), time.Duration(h.now))
				}
			})
		}
	}
}

// What is held back can be what cuts a session, when it is passed on. Nothing follows then but
// goodbye, whatever made it be passed on.
func TestCutForWhatWasHeldBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		pass func(h *handShard, s *session) // has it passed on
	}{
		{"its interval is over", func(h *handShard, _ *session) { h.now += int64(time.Second); h.step() }},
		{"its stream ends", func(h *handShard, s *session) { s.end(h.tape("A")); s.ack(new(codec.Ack)) }},
		{"the node drains", func(_ *handShard, s *session) { s.sendAway() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHandShard(t, Config{PendingBytes: 4 << 10})
			w := h.subscriber(codec.MsgPack, backpressure.Disconnect, "A", "B", "C")
			w.s.busy = true
			h.publish("C", 50)
			h.step() // waits, and leaves too little room for what is held back
			w.s.add(h.tape("A").id, option{policy: backpressure.Disconnect, intervalMS: 100})
			w.s.add(h.tape("B").id, option{policy: backpressure.Disconnect, intervalMS: 200})
			h.publish("A", 50)
			h.publish("B", 50)
			h.step()
			if w.s.ending() || len(w.s.lanes) != 2 {
				t.Fatalf("ending is %v with %d lanes", w.s.ending(), len(w.s.lanes))
			}
			tt.pass(h, w.s)
			w.s.control(codec.AppendHeartbeat(nil, 1))
			w.s.passedOn()
			h.step()
			var got []codec.Event
			for _, frame := range w.frames {
				events, err := codec.DecodeBatch(codec.MsgPack, []byte(frame[2:])) // short: one byte of length
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, events...)
			}
			if bye, ok := got[0].(codec.Bye); len(got) != 1 || !ok || bye.Code != int(codec.CodeSlowConsumer) {
				t.Errorf("got %+v, want goodbye", got)
			}
		})
	}
}
