package feed

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/market"
)

type fakeLease struct{ atomic.Bool }

func (l *fakeLease) Held() bool { return l.Load() }

// A pair of feeds takes every trade of one source.
type pair struct {
	feeds  [2]*Feed
	leases [2]*fakeLease
}

// playPair runs both feeds over the script, with one trade every 10 ms while it sleeps.
func playPair(t *testing.T, b *fakeBus, run func(p *pair)) {
	t.Helper()
	p := &pair{}
	var running sync.WaitGroup
	end := make(chan struct{})
	for i := range p.feeds {
		p.leases[i] = new(fakeLease)
		p.feeds[i] = New(script{true, func(context.Context, Sink) error {
			p.feeds[i].Announce(Instrument{"A", both})
			for {
				select {
				case <-end:
					return nil
				case <-time.After(10 * time.Millisecond):
					p.feeds[i].Trade(aTrade("A", time.Now().UnixNano()))
				}
			}
		}}, b, Config{Lease: p.leases[i]}, zap.NewNop())
		running.Go(func() {
			if err := p.feeds[i].Run(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	run(p)
	close(end)
	running.Wait()
}

func TestTheNumbersGoOnFromFeedToFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(30*time.Second + time.Millisecond) // the bubble's clock starts at a full minute
		b := newFakeBus(t)
		playPair(t, b, func(p *pair) {
			time.Sleep(time.Second)
			if n := len(b.of(trades)); n != 0 {
				t.Errorf("%d messages without the lease", n)
			}
			for turn := range 4 {
				active, standby := p.feeds[turn%2], p.feeds[1-turn%2]
				p.leases[turn%2].Store(true)
				time.Sleep(5 * time.Second)
				if !active.Stats().Active || standby.Stats().Active {
					t.Error("the wrong feed is active")
				}
				p.leases[turn%2].Store(false)
				before := len(b.of(trades))
				time.Sleep(time.Second)
				if n := len(b.of(trades)) - before; n > 0 {
					t.Errorf("%d messages after the lease was lost", n)
				}
			}
			p.leases[0].Store(true)
			time.Sleep(20 * time.Second)
		})
		last := int64(0)
		for _, m := range b.of(trades) {
			if last > 0 && m.first != last+1 {
				t.Errorf("a message of %d to %d behind %d", m.first, m.last, last)
			}
			last = m.last
		}
		// The feed that has the lease at the minute's end has seen all of it, but for the
		// first second.
		if bar := lastClosed(t, b); bar.Trades < 2900 {
			t.Errorf("the minute's bar has %d trades", bar.Trades)
		}
	})
}

// lastClosed is the newest bar, which the end of the test may have cut short.
func lastClosed(t *testing.T, b *fakeBus) market.Bar {
	t.Helper()
	for _, body := range b.bodies[bars] {
		b.last[bars] = body
		if bar := lastBar(t, b); bar.Closed {
			return bar
		}
	}
	t.Fatal("no bar was closed")
	return market.Bar{}
}

func TestAFeedThatLosesItsLeaseForAMomentTellsOfAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Millisecond)
		b := newFakeBus(t)
		playPair(t, b, func(p *pair) {
			p.leases[0].Store(true)
			time.Sleep(time.Second)
			p.leases[0].Store(false) // and nobody else has it
			time.Sleep(time.Second)
			p.leases[0].Store(true)
			time.Sleep(time.Second)
			if lost := p.feeds[0].Stats().Lost; lost < 90 {
				t.Errorf("%d lost of some 100 trades", lost)
			}
		})
		holes := int64(0)
		list := b.of(trades)
		for i, m := range list[1:] {
			holes += m.first - 1 - list[i].last
		}
		if holes < 90 || holes > 120 {
			t.Errorf("%d numbers missing, want the trades of a second", holes)
		}
	})
}

func TestALeaseIsForLiveSources(t *testing.T) {
	f := New(script{live: false}, newFakeBus(t), Config{Lease: new(fakeLease)}, zap.NewNop())
	if f.Run(t.Context()) == nil {
		t.Error("a source that waits was taken")
	}
}
