package stream

import (
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
)

// TestNodeMemory states that sessions that never read hold no more together than the node
// allows, that the worst give first, and that one that reads gives nothing.
func TestNodeMemory(t *testing.T) {
	for _, policy := range []backpressure.Policy{backpressure.DropOldest, backpressure.Aggregate, backpressure.DropNewest, backpressure.Disconnect} {
		t.Run(policy.String(), func(t *testing.T) {
			const limit = 8 << 20
			h := newHandShard(t, Config{NodePendingBytes: limit})
			healthy := h.subscriber(codec.MsgPack, policy, "A", "B", "C", "D")
			modest := h.subscriber(codec.MsgPack, policy, "D")
			modest.stalled = true
			var stalled []*recorder
			for range 30 {
				w := h.subscriber(codec.MsgPack, policy, "A", "B", "C")
				w.stalled = true
				stalled = append(stalled, w)
			}
			most := 0
			for range 300 {
				for _, symbol := range []string{"A", "B", "C"} {
					h.publish(symbol, 10)
				}
				if h.seq%1000 == 0 {
					h.publish("D", 1)
				}
				h.step()
				held := 0
				for _, s := range h.sessions {
					if !s.ending() {
						held += s.footprint()
					}
				}
				most = max(most, held)
			}
			if most > limit {
				t.Errorf("%d bytes held, want at most %d", most, limit)
			}
			if most < limit/2 {
				t.Errorf("no more than %d bytes were ever held: the test shows nothing", most)
			}
			for _, w := range []*recorder{healthy, modest} {
				if w.s.total.dropped+w.s.total.aggregated > 0 || w.s.ending() {
					t.Errorf("one that held little lost %+v", w.s.total)
				}
			}
			gave := 0
			for _, w := range stalled {
				if w.s.total.dropped+w.s.total.aggregated > 0 || w.s.ending() {
					gave++
				}
			}
			if gave == 0 {
				t.Error("none of those that held the most gave anything")
			}
		})
	}
}

// TestNodeMemoryWithinATurn states that the bound holds throughout a turn that brings much, as
// one does after the node was kept from running.
func TestNodeMemoryWithinATurn(t *testing.T) {
	const limit = 8 << 20
	h := newHandShard(t, Config{NodePendingBytes: limit})
	for range 40 {
		w := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A", "B", "C")
		w.stalled = true
	}
	h.publish("A", 1)
	h.step() // all wait for their wires
	for range 60 {
		for _, symbol := range []string{"A", "B", "C"} {
			h.publish(symbol, 100)
		}
	}
	most := 0
	for _, it := range h.inbox.take() {
		h.route(&it)
		held := 0
		for _, s := range h.sessions {
			held += s.footprint()
		}
		most = max(most, held)
	}
	if most > limit || most < limit/2 {
		t.Errorf("%d bytes held within the turn, want up to %d, and half of that at the least", most, limit)
	}
}

// held is what all sessions that are not being closed hold.
func (h *handShard) holds() (bytes int) {
	for _, s := range h.sessions {
		if !s.ending() {
			bytes += s.footprint()
		}
	}
	return bytes
}

// takes has the subscriber take what waits.
func (w *recorder) takes() {
	w.stalled = false
	if w.s.busy {
		w.s.passedOn()
	}
}

// lost is what the session was not sent as it came.
func (s *session) lost() int64 { return s.total.dropped + s.total.aggregated + s.total.conflated }

// TestTheLateGiveFirst states that those who have taken nothing for long give all that they have
// before one who is a moment behind gives anything, though he holds more than any of them.
func TestTheLateGiveFirst(t *testing.T) {
	for _, policy := range []backpressure.Policy{backpressure.DropOldest, backpressure.Aggregate, backpressure.DropNewest, backpressure.Disconnect} {
		t.Run(policy.String(), func(t *testing.T) {
			const limit, every = 448 << 10, 10 * time.Millisecond
			h := newHandShard(t, Config{NodePendingBytes: limit, BatchEvery: every})
			var stalled, behind []*recorder
			for range 40 {
				w := h.subscriber(codec.MsgPack, policy, "A", "B")
				w.stalled = true
				stalled = append(stalled, w)
			}
			for range 3 {
				behind = append(behind, h.subscriber(codec.MsgPack, policy, "A", "B"))
			}
			most := 0
			for turn := range 80 {
				if turn < 30 { // the stalled are so for 300 ms before there is much
					h.publish("A", 1)
				} else {
					h.publish("A", 25)
					h.publish("B", 25)
				}
				for i, w := range behind {
					if (turn+i)%7 == 0 { // and has been 70 ms behind
						w.takes()
						h.step()
					}
					w.stalled = true
				}
				h.step()
				most = max(most, h.holds())
			}
			if most > limit || most < limit/2 {
				t.Errorf("up to %d bytes held, want up to %d, and half of that at the least", most, limit)
			}
			for _, w := range behind {
				if w.s.ending() || w.s.lost() > 0 {
					t.Fatalf("one who was 70 ms behind lost %+v, closing is %v", w.s.total, w.s.ending())
				}
			}
			gave := 0
			for _, w := range stalled {
				if w.s.ending() || w.s.lost() > 0 {
					gave++
				}
			}
			if gave == 0 {
				t.Error("nobody gave anything: the test shows nothing")
			}
		})
	}
}

// TestTheOthersGiveLast states that the bound holds when the late have too little to give.
func TestTheOthersGiveLast(t *testing.T) {
	const limit = 4 << 20
	h := newHandShard(t, Config{NodePendingBytes: limit, PendingBytes: 1 << 20, BatchEvery: 10 * time.Millisecond})
	stalled := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A")
	stalled.stalled = true
	h.publish("A", 1)
	for range 100 {
		h.step()
	}
	var behind []*recorder
	for range 100 {
		w := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A")
		w.stalled = true
		behind = append(behind, w)
	}
	most := 0
	for range 6 {
		for range 10 {
			h.publish("A", 100)
		}
		h.step()
		most = max(most, h.holds())
	}
	if most > limit || most < limit/2 {
		t.Errorf("up to %d bytes held, want up to %d, and half of that at the least", most, limit)
	}
	if gave := stalled.s.total.dropped; gave < 4000 {
		t.Errorf("the late one gave %d of 6000 trades", gave)
	}
	gave := 0
	for _, w := range behind {
		if w.s.ending() {
			t.Fatal("another was cut")
		}
		if w.s.lost() > 0 {
			gave++
		}
	}
	if gave == 0 {
		t.Error("no other gave anything: the test shows nothing")
	}
}

// TestWhoIsLate states by what sessions are told apart when they have been behind for a moment
// only, and later.
func TestWhoIsLate(t *testing.T) {
	h := newHandShard(t, Config{BatchEvery: 10 * time.Millisecond})
	stalled := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A")
	slow := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A")
	healthy := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A")
	stalled.stalled = true
	for turn := 1; turn <= 300; turn++ {
		h.publish("A", 10)
		h.step()
		if turn%5 == 0 {
			slow.takes() // one message, of which each holds more than the last
			slow.stalled = true
		}
		if healthy.stalled = turn%7 != 0; !healthy.stalled {
			healthy.takes()
			h.step()
		}
		if late := healthy.s.late(); late > 100*time.Millisecond {
			t.Fatalf("%v late after %d turns, though it takes everything every 70 ms", late, turn)
		}
		if turn == 20 && (stalled.s.late() < 150*time.Millisecond || slow.s.late() > 60*time.Millisecond) {
			t.Errorf("late after 200 ms: %v who takes nothing, %v who takes a little", stalled.s.late(), slow.s.late())
		}
	}
	if late := stalled.s.late(); late < 2500*time.Millisecond {
		t.Errorf("%v late who has taken nothing for three seconds", late)
	}
}

// TestWhatIsHeldBackIsBounded states that the bound holds for sessions that keep up, and have
// trades held back for long intervals; and that one that gave has its whole budget again later.
func TestWhatIsHeldBackIsBounded(t *testing.T) {
	const limit, interval = 4 << 20, 60 * time.Second
	h := newHandShard(t, Config{NodePendingBytes: limit, BatchEvery: 10 * time.Millisecond})
	var all []*recorder
	for range 50 {
		w := h.subscriber(codec.MsgPack, backpressure.DropOldest)
		w.s.add(h.tape("A").id, option{policy: backpressure.DropOldest, intervalMS: uint16(interval / time.Millisecond)})
		all = append(all, w)
	}
	most := 0
	for range 400 {
		h.publish("A", 10)
		h.step()
		most = max(most, h.holds())
	}
	if most > limit || most < limit/2 {
		t.Errorf("up to %d bytes held back, want up to %d, and half of that at the least", most, limit)
	}
	h.now += int64(interval)
	for range 20 {
		h.step()
	}
	given := int64(0)
	for _, w := range all {
		given += w.s.total.dropped
	}
	for range 20 {
		h.publish("A", 10)
		h.step()
	}
	h.now += int64(interval)
	h.step()
	for _, w := range all {
		given -= w.s.total.dropped
	}
	if given != 0 {
		t.Errorf("%d trades dropped later, when there was room", -given)
	}
}

// TestNodeMemoryOfSmallChunks states that the bound holds within a turn for what takes more to
// keep in order than it has bytes.
func TestNodeMemoryOfSmallChunks(t *testing.T) {
	const limit = 8 << 20
	h := newHandShard(t, Config{NodePendingBytes: limit})
	for range 40 {
		h.subscriber(codec.JSON, backpressure.DropOldest, "A").stalled = true
	}
	h.publish("A", 1)
	h.step() // all wait for their wires
	for range 3000 {
		h.publish("A", 1)
		h.inbox.put(item{do: func() {}}) // so that the next is a chunk of its own
	}
	most := 0
	for _, it := range h.inbox.take() {
		h.route(&it)
		most = max(most, h.holds())
	}
	if most > limit || most < limit/2 {
		t.Errorf("%d bytes held within the turn, want up to %d, and half of that at the least", most, limit)
	}
}

// leaveStorage has so many queues that were long before leave their storage to the next.
func (h *handShard) leaveStorage(symbol string, queues int) {
	h.publish(symbol, 1)
	it := h.inbox.take()[0]
	long := make([]backpressure.Queue, queues)
	for i := range long {
		q := &long[i]
		q.Init(codec.MsgPack, 1<<20)
		for range 1000 {
			q.Push(it.chunk, backpressure.DropOldest, h.now)
		}
	}
	for i := range long {
		long[i].Clear()
	}
}

// TestHalfSentMessages states that where what nobody can give is too much, the latest are cut for
// it, and one who is a moment behind loses nothing.
func TestHalfSentMessages(t *testing.T) {
	const limit = 512 << 10
	h := newHandShard(t, Config{NodePendingBytes: limit, BatchEvery: 10 * time.Millisecond})
	h.leaveStorage("A", 60)
	var stalled []*recorder
	for range 50 {
		w := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A")
		w.stalled = true
		stalled = append(stalled, w)
	}
	h.publish("A", 1)
	h.step()
	for i, w := range stalled {
		if w.waits = 12 << 10; i < 25 {
			w.s.stuckAt = h.now - int64(time.Second) // half of them are later than the others
		}
		w.s.waiting = w.waits // no look at it takes this for progress
	}
	behind := h.subscriber(codec.MsgPack, backpressure.DropOldest, "A")
	for turn := range 100 {
		if turn%7 == 0 {
			behind.takes()
			h.step()
		}
		behind.stalled = true
		h.publish("A", 1)
		h.step()
		if turn > 10 && h.holds() > limit {
			t.Fatalf("%d bytes held after %d turns", h.holds(), turn)
		}
	}
	cut := 0
	for i, w := range stalled {
		if w.s.ending() {
			cut++
			if i >= 25 {
				t.Error("one was cut who is less late than another")
			}
		}
	}
	if cut == 0 || cut == 25 {
		t.Errorf("%d of 25 cut", cut)
	}
	if behind.s.ending() || behind.s.lost() > 0 {
		t.Errorf("one who was a moment behind lost %+v", behind.s.total)
	}
}
