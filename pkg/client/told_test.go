package client_test

import (
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/tickcast/tickcast/pkg/client"
	"github.com/tickcast/tickcast/pkg/codec"
)

// A teller acknowledges each request, and tells the same behind each subscribe.
type teller struct {
	gws.BuiltinEventHandler
	tells []codec.Event
}

// tell starts one, and returns the URL of its stream.
func tell(t *testing.T, tells ...codec.Event) string {
	t.Helper()
	server := httptest.NewServer(upgradeThen(teller{tells: tells}, func(ws *gws.Conn) {
		say(ws, codec.Hello{Session: "s", Node: "n", Heartbeat: time.Minute, MaxSymbols: 10, Auth: "none"})
		ws.ReadLoop()
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

func (p teller) OnMessage(ws *gws.Conn, m *gws.Message) {
	q, bad := codec.DecodeRequest(codec.MsgPack, m.Bytes())
	if bad != nil {
		panic(bad)
	}
	say(ws, codec.Ack{ID: q.ID, Channels: q.Channels, Symbols: q.Symbols})
	if q.Op == codec.OpSubscribe {
		for _, ev := range p.tells {
			say(ws, ev)
			if bye, ok := ev.(codec.Bye); ok {
				_ = ws.WriteClose(uint16(bye.Code), nil)
			}
		}
	}
}

// What a node tells of a stream and of this client comes as it was told, also what a later
// version may say.
func TestGapsAndStatsComeAsTheyWereTold(t *testing.T) {
	s := client.Stream{Channel: client.ChannelTrade, Symbol: "A"}
	told := []codec.Event{
		client.Snapshot{Stream: s, Event: client.Trade{Symbol: "A", Seq: 4}},
		client.Gap{Stream: s, From: 5, To: 5, Reason: client.ReasonSlow},
		client.Gap{Stream: s, From: 6, To: 7, Reason: client.ReasonUpstream},
		client.Gap{Stream: s, From: 8, To: 9, Reason: client.ReasonHistory},
		client.Stat{PendingBytes: 5, QueueAgeMS: 6, Conflated: 1, Dropped: 2, Aggregated: 3, Sent: 4, Slow: true},
		client.Gap{Stream: s, From: 10, To: 1 << 50, Reason: client.ReasonReset},
		client.Gap{Stream: s, From: 1<<50 + 1, To: 1<<50 + 2, Reason: "moon"},
		client.Trade{Symbol: "A", Seq: 1<<50 + 3},
	}
	c := dial(t, tell(t, told...))
	subscribe(t, c, tradesOf("A"))
	got := read(t, c, "the trade", func(ev client.Event) bool { _, ok := ev.(client.Trade); return ok })
	if !slices.Equal(got, told) {
		t.Errorf("got  %+v\nwant %+v", got, told)
	}
}

// A goodbye says why, and how long to stay away.
func TestGoodbyesAreToldWithTheirReason(t *testing.T) {
	for _, tt := range []struct {
		bye  codec.Bye
		want error
	}{
		{codec.Bye{Code: 1012, Reason: "the node is restarting", RetryAfter: 40 * time.Millisecond}, client.ErrUnavailable},
		{codec.Bye{Code: 1013, Reason: "full", RetryAfter: 40 * time.Millisecond}, client.ErrUnavailable},
		{codec.Bye{Code: 4401, Reason: "the token ran out"}, client.ErrUnauthenticated},
		{codec.Bye{Code: 4408, Reason: "slow consumer"}, client.ErrSlowConsumer},
		{codec.Bye{Code: 4429, Reason: "too many requests", RetryAfter: 40 * time.Millisecond}, client.ErrTooMany},
	} {
		t.Run(tt.want.Error()+" "+tt.bye.Reason, func(t *testing.T) {
			changes := make(chan client.StateChange, 16)
			c := dial(t, tell(t, tt.bye), client.WithStateFunc(func(s client.StateChange) {
				select {
				case changes <- s:
				default:
				}
			}))
			subscribe(t, c, tradesOf("A"))
			for s := range changes {
				if s.State != client.StateReconnecting {
					continue
				}
				var e *client.Error
				if !errors.Is(s.Err, tt.want) || !errors.As(s.Err, &e) || e.Message != tt.bye.Reason || e.RetryAfter != tt.bye.RetryAfter || s.Pause < e.RetryAfter {
					t.Errorf("got %+v, want %v", s, tt.want)
				}
				return
			}
		})
	}
}
