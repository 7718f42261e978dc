package feed

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/market"
)

func TestALiveSourceLosesWhileTheBusIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		var base int64
		stats := play(t, b, true, func(_ context.Context, f *Feed) {
			base = announce(f)
			one := func() {
				f.Trade(aTrade("A", time.Now().UnixNano()))
				time.Sleep(10 * time.Millisecond)
			}
			one() // 1
			b.set(func() { b.away = true })
			one() // 2 to 4
			one()
			one()
			b.announced = nil
			b.set(func() { b.away = false })
			synctest.Wait()
			// The newest is made good: it is sent again as it was.
			if got := b.story(trades, base); got != "1-1 lost 2 4-4" {
				t.Errorf("after the return: got %s", got)
			}
			if len(b.announced) != 1 {
				t.Errorf("after the return: announced %q", b.announced)
			}
			one() // 5
		})
		if got := b.story(trades, base); got != "1-1 lost 2 4-5" {
			t.Errorf("got %s", got)
		}
		if stats.Lost != 2 {
			t.Errorf("%d lost, want 2", stats.Lost)
		}
	})
}

func TestAResetLeadsTheFirstMessagesThatArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		b.away = true
		var base int64
		play(t, b, true, func(_ context.Context, f *Feed) {
			base = announce(f)
			f.Quote(aQuote("A", 0))
			f.Trade(aTrade("A", 0))
			time.Sleep(10 * time.Millisecond)
			f.Trade(aTrade("A", 0))
			time.Sleep(10 * time.Millisecond)
			b.set(func() { b.away = false })
			synctest.Wait()
			f.Trade(aTrade("A", 0))
		})
		list := b.of(trades)
		// The tick that was lost had its number: the reset ends before it.
		if len(list) != 2 || list[0].first != base+2 || list[0].reset != base || list[1].reset != base {
			t.Errorf("got %+v, want both led by a reset up to %d", list, base)
		}
	})
}

func TestOtherSourcesWaitForTheBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		var base int64
		const n = 5_000
		stats := play(t, b, false, func(_ context.Context, f *Feed) {
			base = announce(f)
			go func() {
				for range 3 {
					time.Sleep(30 * time.Millisecond)
					b.set(func() { b.away = true })
					time.Sleep(time.Second)
					b.set(func() { b.away = false })
				}
			}()
			for range n {
				f.Trade(aTrade("A", 0))
				f.Quote(aQuote("A", 0))
				time.Sleep(50 * time.Microsecond)
			}
		})
		for _, s := range []market.Stream{trades, quotes} {
			if got, want := b.story(s, base), fmt.Sprintf("1-%d", n); got != want {
				t.Errorf("%v: got %s, want %s", s, got, want)
			}
		}
		if stats.Lost != 0 {
			t.Errorf("%d lost", stats.Lost)
		}
	})
}

func TestWhatABrokenConnectionSwallowedIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		var base int64
		play(t, b, false, func(_ context.Context, f *Feed) {
			base = announce(f)
			f.Trade(aTrade("A", 0))
			time.Sleep(10 * time.Millisecond)
			b.set(func() { b.swallow = true })
			for range 5 {
				f.Trade(aTrade("A", 0))
				time.Sleep(2 * time.Millisecond)
			}
			b.set(func() { b.swallow = false })
			synctest.Wait()
			f.Trade(aTrade("A", 0))
		})
		if got := b.story(trades, base); got != "1-7" {
			t.Errorf("got %s, want 1-7", got)
		}
	})
}

func TestTheServerIsNotFlooded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		stats := play(t, b, false, func(_ context.Context, f *Feed) {
			announce(f)
			big := aTrade("A", 0)
			big.ID = strings.Repeat("x", 64)
			for f.Stats().Bytes < 2*aheadBytesMax {
				for range 1000 {
					f.Trade(big)
				}
			}
		})
		if b.flushes < 2 {
			t.Errorf("%d flushes for %d bytes", b.flushes, stats.Bytes)
		}
	})
}

func TestAWaitEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		ctx, cancel := context.WithCancel(t.Context())
		f := New(script{false, func(ctx context.Context, sink Sink) error {
			sink.Announce(Instrument{"A", both})
			b.set(func() { b.away = true })
			for ctx.Err() == nil {
				sink.Trade(aTrade("A", 0))
				time.Sleep(time.Microsecond)
			}
			return ctx.Err()
		}}, b, Config{}, zap.NewNop())
		time.AfterFunc(time.Minute, cancel)
		if err := f.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if s := f.Stats(); s.Lost != s.Events[market.ChannelTrade]+s.Events[market.ChannelBar] {
			t.Errorf("%+v: not all that waited is counted as lost", s)
		}
	})
}
