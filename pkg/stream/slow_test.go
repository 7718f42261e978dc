package stream

import (
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
)

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
