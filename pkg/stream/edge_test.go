package stream_test

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/stream"
)

// gone waits until the node has no session of that address.
func (r *rig) gone(addr string) {
	r.t.Helper()
	r.await("the end of the session", func() bool { return !strings.Contains(r.get("/v1/sessions"), addr) })
}

func TestAHalfClosedConnectionEnds(t *testing.T) {
	r := newRig(t, stream.Config{})
	w := r.raw()
	w.upgrade()
	w.until(2) // hello
	if err := w.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	r.gone(w.LocalAddr().String())
	_, _ = io.Copy(io.Discard, w.br) // ends
}

// A subscriber that asks without end and reads nothing is cut, and meanwhile others are served.
func TestAFloodThatReadsNothing(t *testing.T) {
	for _, tt := range []struct{ name, request string }{
		{"requests", string(clientFrame(0x81, []byte(`{"op":"ping","id":1}`)))},
		{"pings", string(clientFrame(0x89, []byte(strings.Repeat("x", 125))))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, stream.Config{
				PendingBytes: 4 << 10, SlowTimeout: 300 * time.Millisecond, Heartbeat: 100 * time.Millisecond, Shards: 1,
				RequestsPerSecond: 1_000_000, // the one that is healthy asks all the time
			})
			healthy := r.dial(codec.MsgPack)
			w := r.raw()
			w.upgrade()
			addr := w.LocalAddr().String()
			flood := []byte(strings.Repeat(tt.request, 1000))
			flooded := make(chan struct{})
			go func() {
				defer close(flooded)
				for {
					if _, err := w.Write(flood); err != nil {
						return
					}
				}
			}()
			for cut := false; !cut; cut = !strings.Contains(r.get("/v1/sessions"), addr) {
				healthy.quiet("while another floods")
			}
			_ = w.Close()
			<-flooded
		})
	}
}

// Nobody who gets in while a node stops keeps it from stopping.
func TestANodeStopsWhileSubscribersArrive(t *testing.T) {
	r := newRig(t, stream.Config{})
	var crowd sync.WaitGroup
	for range 8 {
		crowd.Go(func() {
			for { // until it is refused, because the node stops
				w := r.raw()
				if !w.tryUpgrade() {
					return
				}
				crowd.Go(func() {
					_, _ = io.Copy(io.Discard, w.br)
					_ = w.Close()
				})
			}
		})
	}
	r.await("a crowd", func() bool { return len(r.sessions()) >= 50 })
	r.stop()
	crowd.Wait()
}

// A drain does not wait for a subscriber that does not read, once its time is over.
func TestADrainCutsWhoDoesNotRead(t *testing.T) {
	r := newRig(t, stream.Config{SlowTimeout: time.Hour, PendingBytes: 64 << 20})
	r.announce("A")
	slow := r.stall("A")
	r.await("a message that the subscriber does not take", func() bool {
		r.trades("A", 500)
		rows := r.sessions()
		return len(rows) == 1 && rows[0].Remote == slow && rows[0].WaitingBytes > 0
	})
	r.node.Drain(context.Background(), 100*time.Millisecond)
	r.cancel()
	select {
	case err := <-r.ran:
		r.ran <- err
	case <-time.After(4 * time.Second): // a second less than a session may take that is closed by itself
		t.Error("the node does not stop")
	}
}
