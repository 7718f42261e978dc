package stream_test

import (
	"context"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/stream"
)

func TestDrainSaysGoodbye(t *testing.T) {
	r := newRig(t, stream.Config{})
	r.announce("A")
	clients := []*client{r.dial(codec.MsgPack), r.dial(codec.JSON), r.dial(codec.MsgPack)}
	r.node.Drain(context.Background(), 200*time.Millisecond)
	for _, c := range clients {
		if b := nextOf[codec.Bye](c); b.Code != 1012 || b.RetryAfter <= 0 {
			t.Errorf("got %+v", b)
		}
		if code := c.closeCode(); code != 1012 {
			t.Errorf("close code %d", code)
		}
	}
	if status, _ := r.fetch("/readyz"); status != 503 {
		t.Errorf("/readyz while draining: %d", status)
	}
	if status, _ := r.fetch("/healthz"); status != 200 {
		t.Errorf("/healthz while draining: %d", status)
	}
	if _, _, err := gws.NewClient(&client{t: t}, dialOptions(r.url)); err == nil {
		t.Error("a draining node took a new subscriber")
	}
}

// An operator who looks for the drain's beginning and end in the log finds both, however many
// there were to send away and however little time there was for it.
func TestTheLogTellsOfEveryDrain(t *testing.T) {
	for _, tt := range []struct {
		name     string
		sessions int64
		over     time.Duration
		left     int64
	}{
		{"nobody there", 0, time.Second, 0},
		{"one who goes", 1, time.Second, 0},
		{"one, and no time", 1, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			core, logs := observer.New(zap.InfoLevel)
			r := newRig(t, stream.Config{Log: zap.New(core)})
			for range tt.sessions {
				r.dial(codec.MsgPack)
			}
			r.node.Drain(context.Background(), tt.over)
			for _, want := range []struct {
				message, field string
				n              int64
			}{{"draining", "sessions", tt.sessions}, {"drained", "sessions_left", tt.left}} {
				lines := logs.FilterMessage(want.message).All()
				if len(lines) != 1 || lines[0].ContextMap()[want.field] != want.n {
					t.Errorf("%s: %v, want one line with %s %d", want.message, lines, want.field, want.n)
				}
			}
		})
	}
}
