package eventloop

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

// TestPollerMissesNothing states that a socket that becomes ready ends a wait, also one that
// is about to begin.
func TestPollerMissesNothing(t *testing.T) {
	var p poller
	if err := p.open(); err != nil {
		t.Fatal(err)
	}
	defer p.close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
	if err := p.add(pair[0], interestRead, 7, 0); err != nil {
		t.Fatal(err)
	}
	const bytes = 20_000
	go func() {
		for range bytes {
			if _, err := unix.Write(pair[1], []byte{1}); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 3) // now and then something is left
	for got := 0; got < bytes; {
		events, err := p.wait(Now() + int64(patience))
		if err != nil || len(events) != 1 || events[0].Fd != 7 {
			t.Fatalf("%v, %v after %d bytes", events, err, got)
		}
		n, err := unix.Read(pair[0], buf)
		if err != nil {
			t.Fatal(err)
		}
		got += n
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
