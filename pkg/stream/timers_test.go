package stream

import (
	"testing"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
)

// Where the time of a crowd comes at once a turn looks at some of it, and the next turn, which is
// due at once, at more.
func TestACrowdIsLookedAtInShares(t *testing.T) {
	const crowd = 2*looksMax + 1
	h := newHandShard(t, Config{})
	for range crowd {
		h.subscriber(codec.MsgPack, backpressure.DropOldest).deaf = true
	}
	h.now += int64(h.cfg.Heartbeat)
	beats := func() (n int) {
		for _, s := range h.sessions {
			if s.sent == h.now {
				n++
			}
		}
		return n
	}
	for _, want := range []int{looksMax, 2 * looksMax, crowd} {
		wake := h.turn()
		if n := beats(); n != want {
			t.Errorf("%d have had their heartbeat, want %d", n, want)
		}
		if soon := wake > 0 && wake <= h.now; soon != (want < crowd) {
			t.Errorf("after %d heartbeats the next turn is at %d, now is %d", want, wake, h.now)
		}
	}
}
