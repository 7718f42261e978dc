package eventloop

import (
	"fmt"
	"testing"
	"time"
)

func TestPoller(t *testing.T) {
	for _, coarse := range []bool{false, true} {
		t.Run(fmt.Sprintf("coarse=%v", coarse), func(t *testing.T) {
			var p poller
			if err := p.open(); err != nil {
				t.Fatal(err)
			}
			defer p.close()
			p.coarse = p.coarse || coarse
			if events, err := p.wait(300 * time.Microsecond); err != nil || len(events) > 0 {
				t.Errorf("%d events, %v after a timeout", len(events), err)
			}
			// More often than a counter that nobody reads could take large steps.
			for range 1_000 {
				p.wake()
				events, err := p.wait(patience)
				for err == nil && len(events) == 0 { // a signal
					events, err = p.wait(patience)
				}
				if err != nil || len(events) != 1 || events[0].Fd != wakeSlot {
					t.Fatalf("%v, %v after wake", events, err)
				}
				if events, _ := p.wait(0); len(events) > 0 {
					t.Fatal("one wake, two events")
				}
			}
		})
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
