package stream

import (
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/subscribe"
)

// A recorder is a wire that keeps the frames it was sent, until it is stalled.
type recorder struct {
	s       *session
	frames  []string
	memory  []*byte // where each was
	stalled bool
	deaf    bool // keeps nothing
	waits   int  // what the kernel does not take of a message, while it is stalled
	closed  int
}

func (w *recorder) Send(m *message) bool {
	frame := w.s.sh.framer.frame(m, w.s.deflate)
	if w.deaf {
		return true
	}
	w.frames, w.memory = append(w.frames, string(frame)), append(w.memory, &frame[0])
	return !w.stalled
}
func (w *recorder) Waiting() int {
	if w.s.busy {
		return w.waits
	}
	return 0
}
func (w *recorder) Kernel() kernelView       { return kernelView{} }
func (w *recorder) Close(code int, _ string) { w.closed = code }

// A handShard is driven by the test, turn by turn.
type handShard struct {
	*shard
	t     testing.TB
	tapes map[string]*tape
	seq   int64
}

func newHandShard(t testing.TB, cfg Config) *handShard {
	cfg.Shards = 1
	cfg = cfg.withDefaults()
	sh := newShard(0, &cfg, newClock())
	sh.inbox.wake = func() {}
	sh.gone = func() {}
	sh.viewOf(&ingest{})
	sh.readClock()
	return &handShard{shard: sh, t: t, tapes: map[string]*tape{}}
}

// tape is the symbol's stream of trades.
func (h *handShard) tape(symbol string) *tape {
	if h.tapes[symbol] == nil {
		s := market.Stream{Channel: market.ChannelTrade, Symbol: symbol}
		h.tapes[symbol] = &tape{id: subscribe.MakeID(len(h.tapes), s.Channel), stream: s}
	}
	return h.tapes[symbol]
}

// subscriber opens a session on the symbols, past its hello.
func (h *handShard) subscriber(enc codec.Encoding, p backpressure.Policy, symbols ...string) *recorder {
	s := &session{sh: h.shard, nth: uint64(len(h.sessions)), enc: enc, deflate: true}
	w := &recorder{s: s}
	s.wire = w
	s.open()
	for _, symbol := range symbols {
		s.add(h.tape(symbol).id, option{policy: p})
	}
	h.step()
	w.frames, w.memory = nil, nil
	return w
}

// publish gives n trades of the symbol to whoever wants them.
func (h *handShard) publish(symbol string, n int) {
	t := h.tape(symbol)
	var body []byte
	for range n {
		h.seq++
		var err error
		if body, err = codec.AppendTrade(body, &market.Trade{Symbol: symbol, Seq: h.seq, Time: h.seq, Price: 1, Size: 1, ID: "0123456789"}); err != nil {
			h.t.Fatal(err)
		}
	}
	c, _, err := codec.ParseChunk(t.stream, body)
	if err != nil {
		h.t.Fatal(err)
	}
	c.Stream = uint32(t.id)
	h.inbox.put(item{tape: t, chunk: c})
}

// step takes a turn in which a flush is due.
func (h *handShard) step() {
	h.now += int64(h.cfg.BatchEvery)
	h.turn()
}

// TestAlikeSessionsShareFrames states which sessions get one frame: those with the same
// subscriptions, encoding and compression, and no backlog.
func TestAlikeSessionsShareFrames(t *testing.T) {
	h := newHandShard(t, Config{})
	a := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A", "B")
	b := h.subscriber(codec.MsgPack, backpressure.Aggregate, "A", "B")
	turned := h.subscriber(codec.MsgPack, backpressure.DropOldest, "B", "A")
	text := h.subscriber(codec.JSON, backpressure.DropOldest, "A", "B")
	text2 := h.subscriber(codec.JSON, backpressure.DropOldest, "A", "B")
	less := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A")
	plain := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A", "B")
	plain.s.deflate = false
	plain2 := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A", "B")
	plain2.s.deflate = false
	behind := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A", "B")
	behind.stalled = true
	asked := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A", "B")

	h.publish("A", 20)
	h.step()
	h.publish("A", 1)
	h.publish("B", 20)
	asked.s.control(codec.AppendPong(nil, nil, 1))
	h.step()

	for _, tt := range []struct {
		name   string
		of, as *recorder
		want   bool
	}{
		{"same symbols under another policy", b, a, true},
		{"named in another order", turned, a, false},
		{"both in JSON", text2, text, true},
		{"both plain", plain2, plain, true},
		{"another encoding", text, a, false},
		{"another symbol", less, a, false},
		{"no compression", plain, a, false},
		{"an answer between the ticks", asked, a, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.of.memory[1] == tt.as.memory[1]; got != tt.want {
				t.Errorf("one frame for both: %v, want %v", got, tt.want)
			}
		})
	}

	behind.s.passedOn()
	h.step()
	if n := len(behind.frames); n != 2 {
		t.Fatalf("the session behind got %d frames, want 2", n)
	}
	if behind.frames[1] != a.frames[1] {
		t.Error("the session behind got other bytes than the others in the end")
	}
	if n := len(h.kinds); n != 3 {
		t.Errorf("%d kinds of session, want 3: two symbols, two in JSON, one", n)
	}
	for len(h.sessions) > 0 {
		h.sessions[0].gone(closeAbnormal)
	}
	if len(h.kinds) != 0 || len(h.timers) != 0 {
		t.Errorf("%d kinds and %d timers stay when all sessions are gone", len(h.kinds), len(h.timers))
	}
}

// TestEverySessionGetsItsTicks states that however ticks reach a session, by its queue or by
// its own picking, shared or not, it gets each stream's in order, each once.
func TestEverySessionGetsItsTicks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHandShard(t, Config{PendingBytes: 64 << 20, NodePendingBytes: 1 << 30})
		symbols := []string{"A", "B", "C", "D", "E"}
		name := rapid.SampledFrom(symbols)
		var all []*recorder
		want := make(map[*recorder]map[string]int64) // the next seq of each stream
		for range rapid.IntRange(1, 6).Draw(rt, "sessions") {
			names := rapid.SliceOfNDistinct(name, 1, 4, rapid.ID).Draw(rt, "symbols")
			enc := rapid.SampledFrom([]codec.Encoding{codec.MsgPack, codec.JSON}).Draw(rt, "encoding")
			w := h.subscriber(enc, backpressure.DropOldest, names...)
			w.s.deflate = false
			if rapid.Bool().Draw(rt, "interval") {
				w.s.add(h.tape(names[0]).id, option{policy: backpressure.DropOldest, intervalMS: 50})
			}
			all, want[w] = append(all, w), make(map[string]int64)
		}
		next := make(map[string]int64)
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			w := rapid.SampledFrom(all).Draw(rt, "session")
			switch rapid.IntRange(0, 6).Draw(rt, "step") {
			case 0, 1, 2:
				symbol := name.Draw(rt, "symbol")
				h.seq = next[symbol]
				h.publish(symbol, rapid.SampledFrom([]int{1, 3, 400}).Draw(rt, "ticks"))
				next[symbol] = h.seq
			case 3:
				h.step()
			case 4:
				w.stalled = true
			case 5:
				w.stalled = false
				if w.s.busy {
					w.s.passedOn()
				}
			case 6:
				w.s.control(codec.AppendPong(nil, nil, 1))
			}
		}
		for _, w := range all {
			w.stalled = false
			w.s.passedOn()
		}
		for range 40 { // past every interval
			h.step()
		}
		for _, w := range all {
			for _, frame := range w.frames {
				head := map[byte]int{126: 4, 127: 10}[frame[1]]
				events, err := codec.DecodeBatch(w.s.enc, []byte(frame[max(2, head):]))
				if err != nil {
					rt.Fatal(err)
				}
				for _, ev := range events {
					tr, ok := ev.(market.Trade)
					if !ok {
						continue
					}
					if tr.Seq != want[w][tr.Symbol]+1 {
						rt.Fatalf("%s: seq %d came behind %d", tr.Symbol, tr.Seq, want[w][tr.Symbol])
					}
					want[w][tr.Symbol] = tr.Seq
				}
			}
			for i := range w.s.set.Len() {
				symbol := h.symbolOf(w.s.set.At(i))
				if want[w][symbol] != next[symbol] {
					rt.Fatalf("%s: %d came, %d were published", symbol, want[w][symbol], next[symbol])
				}
			}
		}
	})
}

// symbolOf is the symbol of a stream of the test.
func (h *handShard) symbolOf(id subscribe.ID) string {
	for symbol, t := range h.tapes {
		if t.id == id {
			return symbol
		}
	}
	return ""
}

// TestIntervalSpreadsSessions states that sessions with the same interval that begin at the
// same moment are not all served at the same moment.
func TestIntervalSpreadsSessions(t *testing.T) {
	const every, sessions = 1000, 1000
	var tenth [10]int
	for nth := range uint64(sessions) {
		s := session{nth: nth}
		at := s.phase(every)
		if at < 1 || at > every {
			t.Fatalf("session %d begins at %d of %d", nth, at, every)
		}
		tenth[(at-1)*10/every]++
	}
	for i, n := range tenth {
		if n < sessions/20 || n > sessions/5 {
			t.Errorf("%d of %d sessions in tenth %d of the interval", n, sessions, i)
		}
	}
}

// TestIdleSessionIsSmall keeps the target of 600 bytes for an idle connection in reach: the
// rest goes to its Conn, its place in the lists, and its address in words.
func TestIdleSessionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(session{}); n > 384 {
		t.Errorf("a session takes %d bytes", n)
	}
}
