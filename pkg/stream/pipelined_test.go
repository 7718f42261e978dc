package stream_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

// Whatever is asked while earlier requests are still under way, the last one that speaks of a
// stream holds: it begins as that one says, and has ended when that one says so.
func TestRequestsBehindOneAnother(t *testing.T) {
	const all, a, after = `"symbols":["*"]`, `"symbols":["A"]`, `"symbols":["A"],"after":{"trade":{"A":1}}`
	for _, tt := range []struct {
		name     string
		requests []string // + subscribes, - unsubscribes
		want     string   // of A: trades 1 to 3 were there before, 4 comes behind
	}{
		{"ended, and asked for after a seq", []string{"+" + a, "-" + a, "+" + after}, "2 3 4"},
		{"resumed, ended, and asked for anew", []string{"+" + after, "-" + a, "+" + a}, "snap3 4"},
		{"asked for twice", []string{"+" + a, "+" + after}, "snap3 4"},
		{"all, one of them named and ended", []string{"+" + all, "+" + a, "-" + a}, ""},
		{"one, all, and the one ended", []string{"+" + a, "+" + all, "-" + a}, ""},
		{"all, one of them ended and asked for after a seq", []string{"+" + all, "-" + a, "+" + after}, "2 3 4"},
		{"all, one of them ended, and all again", []string{"+" + all, "-" + a, "+" + all}, "snap3 4"},
		{"all, and one of them after a seq", []string{"+" + all, "+" + after}, "snap3 4"},
		{"one after a seq, and all", []string{"+" + after, "+" + all}, "2 3 4"},
		{"all, none, and one after a seq", []string{"+" + all, "-" + all, "+" + after}, "2 3 4"},
		{"all, none, and all", []string{"+" + all, "-" + all, "+" + all}, "snap3 4"},
		{"one, all, and none", []string{"+" + a, "+" + all, "-" + all}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, stream.Config{})
			r.announce("A", "Y", "Z")
			r.trades("A", 3)
			r.trades("Y", 1)
			r.trades("Z", 1)
			c := r.dial(codec.MsgPack)
			for i, req := range tt.requests {
				op := map[byte]string{'+': "subscribe", '-': "unsubscribe"}[req[0]]
				c.send(fmt.Sprintf(`{"op":%q,"id":%d,"channels":["trade"],%s}`, op, i, req[1:]))
			}
			c.send(`{"op":"unsubscribe","id":100,"channels":["trade"],"symbols":["Y"]}`)
			c.send(`{"op":"subscribe","id":101,"channels":["trade"],"symbols":["Y"]}`)

			var got []string
			acks, begun, ended := 0, false, false // the latter two of Y, behind its own ack
			take := func() {
				t.Helper()
				switch ev := c.next().(type) {
				case codec.Ack:
					if acks++; *ev.ID < 100 && tt.requests[*ev.ID][0] == '-' {
						got = got[:0] // what came of A was owed to earlier requests
					}
				case codec.Snapshot:
					if ev.Stream.Symbol == "A" {
						got = append(got, fmt.Sprint("snap", ev.Event.(market.Trade).Seq))
					}
					begun = begun || ev.Stream.Symbol == "Y" && acks == len(tt.requests)+2
				case market.Trade:
					if ev.Symbol == "A" {
						got = append(got, fmt.Sprint(ev.Seq))
					}
					ended = ended || ev.Symbol == "Y"
				}
				if acks == len(tt.requests)+2 && !strings.HasPrefix(tt.want, strings.Join(got, " ")) {
					t.Fatalf("got %q, want %q", got, tt.want)
				}
			}
			for !begun || strings.Join(got, " ") != strings.TrimSuffix(tt.want, " 4") {
				take()
			}
			r.trade("A")
			r.trade("Y")
			for !ended || strings.Join(got, " ") != tt.want {
				take()
			}
		})
	}
}
