package stream_test

import (
	"context"
	"testing"
	"time"

	"github.com/lxzan/gws"

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
