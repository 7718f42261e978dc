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

func TestQuietStreamsAreToldAgainEveryMinuteWithoutABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		const symbols = 900
		play(t, b, true, func(_ context.Context, f *Feed) {
			var list []Instrument
			for i := range symbols {
				list = append(list, Instrument{fmt.Sprint("S", i), both})
			}
			f.Announce(list...)
			for _, in := range list {
				f.Quote(aQuote(in.Symbol, 0))
			}
			time.Sleep(time.Minute + tickEvery/2) // each had its turn, and was fresh then
			for minute := range 3 {
				b.clear()
				most := 0
				for range upkeepTurns {
					before := b.count()
					time.Sleep(tickEvery)
					synctest.Wait()
					most = max(most, b.count()-before)
				}
				if len(b.messages) != symbols || len(b.announced) != symbols {
					t.Errorf("minute %d: %d messages and %d announcements of %d quiet symbols", minute, len(b.messages), len(b.announced), symbols)
				}
				if most > 4 { // two symbols, a quote and an announcement each
					t.Errorf("minute %d: %d at once", minute, most)
				}
			}
		})
	})
}

func TestARepetitionIsWhatItRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		play(t, b, true, func(_ context.Context, f *Feed) {
			announce(f)
			f.Quote(aQuote("A", 0))
			time.Sleep(time.Hour)
			f.Quote(aQuote("A", 0))
		})
		list := b.of(quotes)
		if len(list) < 59 {
			t.Fatalf("%d messages in an hour", len(list))
		}
		for _, m := range list[:len(list)-1] {
			// With the reset: who comes back after an hour must not take it for a loss.
			if m != list[0] || m.reset == 0 {
				t.Fatalf("got %+v, want %+v again", m, list[0])
			}
		}
		if last := list[len(list)-1]; last.first != list[0].first+1 || last.reset != 0 {
			t.Errorf("the next: %+v", last)
		}
	})
}

func TestAStreamThatPublishesIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		const n = 20
		play(t, b, true, func(_ context.Context, f *Feed) {
			announce(f)
			for range n {
				f.Quote(aQuote("A", 0))
				time.Sleep(45 * time.Second)
			}
		})
		if got := len(b.of(quotes)); got != n {
			t.Errorf("%d messages of %d quotes", got, n)
		}
	})
}

func TestAQuietTradeIsRepeatedOnlyAsOthersFillTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		play(t, b, true, func(_ context.Context, f *Feed) {
			f.Announce(Instrument{"A", both}, Instrument{"BUSY", both})
			f.Trade(aTrade("A", 0))
			time.Sleep(24 * time.Hour)
			if got := len(b.of(trades)); got != 1 {
				t.Errorf("%d messages in a day in which nothing else was stored", got)
			}
			big := aTrade("BUSY", 0)
			big.ID = strings.Repeat("x", 100)
			for f.Stats().Bytes < 2*storeTurn+storeTurn/2 {
				for range 20_000 {
					f.Trade(big)
				}
				time.Sleep(time.Minute)
			}
			if got := len(b.of(trades)); got != 3 {
				t.Errorf("%d messages, want the trade and two repetitions", got)
			}
		})
	})
}

func TestWhatARestartFindsIsStoredAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		play(t, b, true, func(_ context.Context, f *Feed) {
			announce(f)
			f.Trade(aTrade("A", 0))
		})
		play(t, b, true, func(context.Context, *Feed) {})
		play(t, b, true, func(_ context.Context, f *Feed) {
			announce(f)
			time.Sleep(time.Hour)
		})
		list := b.of(trades)
		if len(list) != 2 || list[0] != list[1] {
			t.Errorf("got %+v, want one message and its repetition", list)
		}
	})
}

// A repetition that overtook ticks which must be sent again would make them look lost.
func TestNothingIsRepeatedBeforeWhatMustBeSentAgain(t *testing.T) {
	b := newFakeBus(t)
	f := New(script{live: false}, b, Config{}, zap.NewNop())
	announce(f)
	f.Trade(aTrade("A", 0))
	f.pub.flush()
	l := f.instruments["A"].lines[market.ChannelTrade]
	f.pub.again.Store(true)
	f.pub.repeat(l)
	if n := len(b.of(trades)); n != 1 {
		t.Errorf("%d messages, want none but the first", n)
	}
	f.pub.again.Store(false)
	f.pub.repeat(l)
	if n := len(b.of(trades)); n != 2 {
		t.Errorf("%d messages, want the repetition", n)
	}
}
