package feed

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/tickcast/tickcast/pkg/codec"
)

// times are what the messages told.
func (b *fakeBus) times() (all []codec.Times) {
	for _, h := range b.headers {
		if t, ok := codec.TimesOf(h); ok {
			all = append(all, t)
		}
	}
	return all
}

// playLive has run emit as a live source does.
func playLive(t *testing.T, b *fakeBus, cfg Config, run func(f *Feed)) {
	t.Helper()
	var f *Feed
	f = New(script{true, func(context.Context, Sink) error {
		run(f)
		return nil
	}}, b, cfg, zaptest.NewLogger(t))
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAMessageTellsWhenATickCameBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		var first int64
		playLive(t, b, Config{Window: 3 * time.Millisecond}, func(f *Feed) {
			announce(f)
			time.Sleep(time.Second + time.Millisecond)
			first = time.Now().UnixNano()
			f.Trade(aTrade("A", first-20e6)) // these are one message
			time.Sleep(time.Millisecond)
			f.Trade(aTrade("A", first-30e6))
			time.Sleep(500 * time.Millisecond)
		})
		want := codec.Times{Event: first - 20e6, Taken: first, Published: first + 3e6}
		if got := b.times(); len(got) != 1 || got[0] != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

func TestEachStreamHasItsTurnToTellItsTimes(t *testing.T) {
	const lasts, apart = 10 * time.Second, 100 * time.Millisecond
	for _, tt := range []struct {
		symbols  int
		min, max int // headers of all
	}{
		{1, 150, 200},     // two streams, every 100 ms
		{10, 140, 200},    // about 20 a second
		{600, 1200, 2400}, // every 5 s
	} {
		t.Run(fmt.Sprintf("%d symbols", tt.symbols), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newFakeBus(t)
				playLive(t, b, Config{}, func(f *Feed) {
					for i := range tt.symbols {
						f.Announce(Instrument{fmt.Sprint("S", i), both})
					}
					time.Sleep(apart / 2) // between two turns
					for range lasts / apart {
						for i := range tt.symbols {
							f.Trade(aTrade(fmt.Sprint("S", i), 0))
							f.Quote(aQuote(fmt.Sprint("S", i), 0))
						}
						time.Sleep(apart)
					}
				})
				if got := len(b.times()); got < tt.min || got > tt.max {
					t.Errorf("%d messages tell their times, want %d to %d", got, tt.min, tt.max)
				}
			})
		})
	}
}

func TestATickThatIsFollowedTellsItsTimesToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, to := newFakeBus(t), &follower{}
		playLive(t, b, Config{Trace: to.trace, TraceEvery: 1}, func(f *Feed) {
			announce(f)
			time.Sleep(time.Second)
			f.Trade(aTrade("A", 1))
		})
		if len(b.headers) != 1 || len(b.marks()) != 1 || len(b.times()) != 1 {
			t.Errorf("headers %v, want one with both", b.headers)
		}
	})
}

func TestTimesOfWhatWasNotPublishedAreNotToldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		playLive(t, b, Config{}, func(f *Feed) {
			announce(f)
			time.Sleep(time.Second + 50*time.Millisecond) // between two turns
			b.set(func() { b.away = true })
			f.Trade(aTrade("A", 1))
			time.Sleep(10 * time.Millisecond)
			b.set(func() { b.headers, b.away = nil, false })
			f.Trade(aTrade("A", 2))
			time.Sleep(10 * time.Millisecond)
		})
		if got := b.times(); len(got) != 0 {
			t.Errorf("got %+v, want none", got)
		}
	})
}
