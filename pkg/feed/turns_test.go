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
		last, told := int64(0), int64(0)
		for _, m := range b.of(trades) {
			if last > 0 && m.first-m.void != last+1 || m.void > 1 {
				t.Errorf("a message of %d to %d behind %d, and %d numbers that no trade has", m.first, m.last, last, m.void)
			}
			last, told = m.last, told+m.void
		}
		if told != 4 {
			t.Errorf("%d of 4 take-overs told of trades that may be missing", told)
		}
		for _, m := range append(b.of(quotes), b.of(bars)...) {
			if m.void > 0 {
				t.Errorf("%d numbers of %v that no tick has", m.void, m.stream)
			}
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
	for _, tt := range []struct {
		name        string
		pause       time.Duration
		least, most int64 // trades passed over: one every 10 ms
	}{
		{"a second", time.Second, 90, 120},
		{"less than it takes to stand down", 25 * time.Millisecond, 2, 25},
	} {
		t.Run(tt.name, func(t *testing.T) { losesItsLease(t, tt.pause, tt.least, tt.most) })
	}
}

func losesItsLease(t *testing.T, pause time.Duration, least, most int64) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Millisecond)
		b := newFakeBus(t)
		playPair(t, b, func(p *pair) {
			p.leases[0].Store(true)
			time.Sleep(1005 * time.Millisecond)
			p.leases[0].Store(false) // and nobody else has it
			time.Sleep(pause)
			p.leases[0].Store(true)
			time.Sleep(time.Second)
			if lost := p.feeds[0].Stats().Lost; lost < least {
				t.Errorf("%d lost of at least %d trades", lost, least)
			}
		})
		holes := int64(0)
		list := b.of(trades)
		for i, m := range list[1:] {
			if m.first-m.void != list[i].last+1 {
				t.Errorf("a message of %d behind %d tells of %d", m.first, list[i].last, m.void)
			}
			holes += m.void
		}
		if holes < least || holes > most {
			t.Errorf("%d numbers missing, want %d to %d", holes, least, most)
		}
	})
}

func TestALeaseIsForLiveSources(t *testing.T) {
	f := New(script{live: false}, newFakeBus(t), Config{Lease: new(fakeLease)}, zap.NewNop())
	if f.Run(t.Context()) == nil {
		t.Error("a source that waits was taken")
	}
}

// A standby that has seen the last trade that was published, and none behind it, knows that
// nothing is missing.
func TestAQuietStreamHasNothingMissing(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		standby    func(f *Feed) // sees
	}{
		{"it saw the last one", "1-2", func(f *Feed) { f.Trade(aTrade("A", 1)) }},
		{"it saw more", "1-1 void 1 3-3", func(f *Feed) { f.Trade(aTrade("A", 1)); f.Trade(aTrade("A", 2)) }},
		{"it saw one like it", "1-1 void 1 3-3", func(f *Feed) { tr := aTrade("A", 1); tr.ID = "y"; f.Trade(tr) }},
		{"it saw nothing", "1-1 void 1 3-3", func(*Feed) {}},
		{"it may have missed some", "1-1 void 1 3-3", func(f *Feed) { f.Trade(aTrade("A", 1)); f.Missed() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newFakeBus(t)
				var base int64
				play(t, b, true, func(_ context.Context, f *Feed) {
					base = announce(f)
					f.Trade(aTrade("A", 1))
				})
				lease := new(fakeLease)
				f := New(script{true, func(_ context.Context, sink Sink) error {
					sink.Announce(Instrument{"A", both})
					tt.standby(sink.(*Feed))
					lease.Store(true)
					time.Sleep(time.Second)
					sink.Trade(aTrade("A", 3))
					return nil
				}}, b, Config{Lease: lease}, zap.NewNop())
				if err := f.Run(t.Context()); err != nil {
					t.Error(err)
				}
				if got := b.story(trades, base); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// TestWhatASourceMayHaveMissedIsTold states that it is told where it belongs: behind what was
// published or waits, before what comes next, and once.
func TestWhatASourceMayHaveMissedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		var base int64
		play(t, b, true, func(_ context.Context, f *Feed) {
			base = announce(f)
			f.Trade(aTrade("A", 1))
			time.Sleep(time.Second)
			f.Trade(aTrade("A", 2)) // waits
			f.Missed()
			f.Missed()
			f.Trade(aTrade("A", 3))
			f.Quote(aQuote("A", 3))
		})
		if got, want := b.story(trades, base), "1-2 void 1 4-4"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}
