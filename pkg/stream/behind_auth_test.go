package stream

import (
	"fmt"
	"testing"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// What waits for the check of a token is bounded by what it takes, decoded: for a session, and for
// all of them. What was carried out, or whose session has ended, makes room.
func TestWhatWaitsBehindAnAuthIsBounded(t *testing.T) {
	large := codec.Request{Op: codec.OpSubscribe, Channels: []market.Channel{market.ChannelTrade}}
	for i := range 3000 {
		large.Symbols = append(large.Symbols, fmt.Sprintf("%05d", i))
	}
	each := memoryOf(&large)
	if each < 3000*(16+5) || each > behindBytesMax {
		t.Fatalf("a request of 3000 names takes %d bytes", each)
	}
	h := newHandShard(t, Config{RequestsPerSecond: 10_000, NodePendingBytes: behindShare * (2*behindBytesMax - each)})
	for _, tt := range []struct {
		name  string
		other int // bytes of another session's that wait
		req   codec.Request
		want  int
	}{
		{"small ones", 0, codec.Request{Op: codec.OpPing}, behindMax},
		{"large ones", 0, large, behindBytesMax / each},
		{"large ones, beside another's", behindBytesMax, large, (behindBytesMax - each) / each},
		{"one larger than may wait", 0, codec.Request{Op: codec.OpAuth, Token: string(make([]byte, behindBytesMax))}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h.behindBytes = tt.other
			s := h.subscriber(codec.MsgPack, backpressure.DropOldest).s
			s.rights = &rights{checking: true}
			waiting := 0
			for range 2 * behindMax {
				req := tt.req
				s.handle(&req, nil)
				if len(s.rights.behind) > waiting {
					waiting++
				}
			}
			if waiting != tt.want {
				t.Errorf("%d wait, want %d", waiting, tt.want)
			}
			if waiting > 0 {
				s.rights.checking = false
				s.carryOutBehind()
				if h.behindBytes != tt.other || s.rights.behindBytes != 0 {
					t.Errorf("%d bytes of the shard's and %d of the session's are left", h.behindBytes-tt.other, s.rights.behindBytes)
				}
			}
			s.rights.checking = true
			s.handle(&codec.Request{Op: codec.OpPing}, nil)
			s.forgetBehind()
			if h.behindBytes != tt.other {
				t.Errorf("who has gone holds %d bytes", h.behindBytes-tt.other)
			}
		})
	}
}
