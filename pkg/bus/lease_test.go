package bus

import (
	"context"
	"sync"
	"testing"
	"time"
)

// A contender is a process that wants a lease.
type contender struct {
	*Lease
	end func()
}

func contend(t *testing.T, b *Bus, name string) *contender {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &contender{Lease: b.NewLease(name)}
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	c.end = func() { cancel(); running.Wait() }
	t.Cleanup(c.end)
	return c
}

func TestALeaseIsHeldByOne(t *testing.T) {
	nats := newNATSProcess(t, "-js")
	nats.start()
	first := contend(t, connectReady(t, Config{Servers: nats.url()}), "sim")
	eventually(t, "the first has it", first.Held)
	other := contend(t, connectReady(t, Config{Servers: nats.url()}), "replay")
	eventually(t, "another lease is another's", other.Held)

	bus := connectReady(t, Config{Servers: nats.url()})
	second := contend(t, bus, "sim")
	for range 20 { // several terms
		if second.Held() {
			t.Fatal("both hold it")
		}
		must(t, second.bus.Sync(t.Context()))
		time.Sleep(leaseEvery / 2) // between two looks at what must not happen
	}
	first.end()
	if first.Held() {
		t.Error("held after it was given up")
	}
	eventually(t, "the second has it", second.Held)

	second.end()
}

func TestALeaseThatIsNotRenewedPassesOn(t *testing.T) {
	b := connectReady(t, Config{Servers: Embedded})
	dead := b.NewLease("sim")
	must(t, dead.step(t.Context())) // once, as a process that is killed then
	if !dead.Held() {
		t.Fatal("not held though free")
	}
	next := contend(t, b, "sim")
	eventually(t, "the next has it", func() bool {
		held := next.Held() // before the other is asked: it may run out in between
		if held && dead.Held() {
			t.Fatal("two hold it")
		}
		return held
	})
	must(t, dead.step(t.Context()))
	if dead.Held() {
		t.Error("taken from a holder that renews it")
	}
}

func TestALeaseOutlivesNATS(t *testing.T) {
	nats := newNATSProcess(t, "-js")
	nats.start()
	leases := []*contender{
		contend(t, connectReady(t, Config{Servers: nats.url()}), "sim"),
		contend(t, connectReady(t, Config{Servers: nats.url()}), "sim"),
	}
	held := func() (n int) {
		for _, l := range leases {
			if l.Held() {
				n++
			}
		}
		return n
	}
	eventually(t, "one has it", func() bool { return held() == 1 })
	nats.stop()
	for _, l := range leases {
		waitConnected(t, l.bus, false)
	}
	if n := held(); n != 0 {
		t.Errorf("%d hold it without NATS", n)
	}
	nats.start()
	eventually(t, "one has it again", func() bool {
		n := held()
		if n > 1 {
			t.Fatal("two hold it")
		}
		return n == 1
	})
}

func TestALeaseIsGivenUpAmidARenewal(t *testing.T) {
	nats := newNATSProcess(t, "-js")
	nats.start()
	b := connectReady(t, Config{Servers: nats.url()})
	one, other := b.NewLease("sim"), b.NewLease("sim")
	must(t, one.step(t.Context()))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := one.step(ended); err == nil {
		t.Fatal("a renewal that was ended has succeeded")
	}
	one.giveUp()
	must(t, other.step(t.Context()))
	if !other.Held() {
		t.Error("the lease is not free")
	}
}
