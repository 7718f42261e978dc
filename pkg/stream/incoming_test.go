package stream

import "testing"

func TestAReadOfManyMessages(t *testing.T) {
	cfg := Config{}.withDefaults()
	var sent []item
	in := newIngest(deaf{}, &cfg, newClock(), func(_ int, items []item) { sent = append(sent, items...) })
	h := newHandShard(t, Config{})
	tp := in.tapeOf(h.tape("A").stream)
	tp.state, tp.wanted = tapeLive, 1
	const many = 2*incomingMax + 1
	for range many {
		in.message(tp.subject, h.nextTrade("A").Bytes, nil)
	}
	in.idle()
	if len(sent) != many || in.metrics.messages.Load() != many {
		t.Fatalf("%d items of %d messages, want %d of each", len(sent), in.metrics.messages.Load(), many)
	}
	for i := range sent {
		if sent[i].chunk.First != int64(i+1) {
			t.Fatalf("item %d begins with seq %d", i, sent[i].chunk.First)
		}
	}
}
