package eventloop

import (
	"fmt"
	"testing"
	"time"
)

func TestPollerEndsItsWaits(t *testing.T) {
	var p poller
	if err := p.open(); err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for range 1_000 {
		p.wake()
		if events, err := p.wait(0); err != nil || len(events) > 0 {
			t.Fatalf("%v, %v after wake", events, err)
		}
	}
	for range 10 {
		until := Now() + int64(300*time.Microsecond)
		events, err := p.wait(until)
		if err != nil || len(events) != 1 || events[0].Fd != timerSlot || Now() < until {
			t.Fatalf("%v, %v, %d ns after its time", events, err, Now()-until)
		}
		if events, err := p.now(); err != nil || len(events) > 0 {
			t.Fatalf("%v, %v behind the only event", events, err)
		}
	}
}

func TestBacklogKeepsOrderAndReusesBuffers(t *testing.T) {
	var pool backlogs
	for range 3 {
		var want string
		b := pool.take([]byte("first"))
		want += "first"
		for i := range 2_000 {
			s := fmt.Sprint(i, ",")
			pool.add(b, []byte(s))
			want += s
			if i%3 == 0 {
				b.sent += 2
				want = want[2:]
			}
		}
		if got := string(b.buf[b.sent:]); got != want || b.waiting() != len(want) {
			t.Fatalf("%d bytes, want %d", len(got), len(want))
		}
		pool.give(b)
	}
	huge := pool.buffer(3 << 20)
	pool.giveBuffer(huge)
	if len(pool.structs) != 1 {
		t.Errorf("%d backlogs kept, one was used at a time", len(pool.structs))
	}
	kept := 0
	for _, free := range pool.free {
		for _, buf := range free {
			kept += cap(buf)
		}
	}
	if kept > 32<<10 {
		t.Errorf("%d bytes kept", kept)
	}
}
