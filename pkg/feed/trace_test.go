package feed

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// follower keeps what it is told of the ticks that are followed.
type follower struct {
	traced []Traced
	ended  []error
	full   bool // wants no more
}

func (f *follower) trace(t Traced) (map[string][]string, func(error)) {
	if f.full {
		return nil, nil
	}
	f.traced = append(f.traced, t)
	return map[string][]string{"n": {fmt.Sprint(len(f.traced))}}, func(err error) { f.ended = append(f.ended, err) }
}

// marks are what follower.trace has put into headers.
func (b *fakeBus) marks() (all []string) {
	for _, h := range b.headers {
		all = append(all, h["n"]...)
	}
	return all
}

func playTraced(t *testing.T, b *fakeBus, every int, to *follower, run func(f *Feed)) {
	t.Helper()
	playLive(t, b, Config{Trace: to.trace, TraceEvery: every}, run)
}

func TestOneTickInSoManyIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, to := newFakeBus(t), &follower{}
		start, base := time.Now(), int64(0)
		playTraced(t, b, 3, to, func(f *Feed) {
			base = announce(f)
			for range 4 { // the third is followed
				f.Trade(aTrade("A", 0))
			}
			time.Sleep(time.Second)
			f.Quote(aQuote("A", 0))
			f.Quote(aQuote("A", 0)) // and the sixth
		})
		want := []Traced{
			{Stream: trades, Seq: base + 3, Taken: start, Ticks: 4},
			{Stream: quotes, Seq: base + 2, Taken: start.Add(time.Second), Ticks: 2},
		}
		for i := range to.traced {
			to.traced[i].Taken = to.traced[i].Taken.Round(0)
		}
		for i := range want {
			want[i].Taken = want[i].Taken.Round(0)
		}
		if !reflect.DeepEqual(to.traced, want) {
			t.Errorf("followed %+v, want %+v", to.traced, want)
		}
		if got := b.marks(); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("marks %v, want 1 and 2", got)
		}
		if !reflect.DeepEqual(to.ended, []error{nil, nil}) {
			t.Errorf("ended %v, want twice without an error", to.ended)
		}
	})
}

func TestAMessageIsFollowedOnceAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, to := newFakeBus(t), &follower{}
		playTraced(t, b, 1, to, func(f *Feed) {
			announce(f)
			for range 5 {
				f.Trade(aTrade("A", 0))
			}
		})
		if len(to.traced) != 1 || to.traced[0].Ticks != 5 {
			t.Errorf("followed %+v", to.traced)
		}
	})
}

func TestWhatCannotBeFollowedIsPublishedAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, to := newFakeBus(t), &follower{full: true}
		playTraced(t, b, 1, to, func(f *Feed) {
			announce(f)
			f.Trade(aTrade("A", 0))
		})
		if got := b.marks(); len(got) != 0 || len(b.of(trades)) != 1 {
			t.Errorf("%d messages, marks %v, want one without", len(b.of(trades)), got)
		}
	})
}

func TestWhatIsNotPublishedEndsItsTraceWithTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, to := newFakeBus(t), &follower{}
		playTraced(t, b, 1, to, func(f *Feed) {
			announce(f)
			b.set(func() { b.away = true })
			f.Trade(aTrade("A", 0))
		})
		if !reflect.DeepEqual(to.ended, []error{errAway}) {
			t.Errorf("ended %v, want %v", to.ended, errAway)
		}
	})
}

func TestTraceEveryMustBeGiven(t *testing.T) {
	if (Config{Trace: (&follower{}).trace}).Validate() == nil {
		t.Error("no error for one tick in none")
	}
}
