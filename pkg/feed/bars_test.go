package feed

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tickcast/tickcast/pkg/market"
)

// slowBars is the obvious way: keep all trades, and sum up a minute when it is closed.
type slowBars struct {
	trades map[int64][]market.Trade
	open   int64 // minute; -1 = none
	closed int64 // newest closed minute; -1 = none
	late   int
}

func (b *slowBars) add(t market.Trade) (done *market.Bar) {
	m := t.Time / int64(time.Minute)
	if m <= b.closed || m < b.open {
		b.late++
		return nil
	}
	if b.open >= 0 && m > b.open {
		done = b.close()
	}
	b.open = m
	b.trades[m] = append(b.trades[m], t)
	return done
}

func (b *slowBars) close() *market.Bar {
	bar := b.sum(b.open)
	bar.Closed = true
	b.closed, b.open = b.open, -1
	return bar
}

func (b *slowBars) sum(m int64) *market.Bar {
	list := b.trades[m]
	bar := &market.Bar{Symbol: "A", Start: m * int64(time.Minute), Interval: 60, Low: math.Inf(1)}
	for i, t := range list {
		if i == 0 {
			bar.Open = t.Price
		}
		bar.High, bar.Low = math.Max(bar.High, t.Price), math.Min(bar.Low, t.Price)
		bar.Close = t.Price
		bar.Volume += t.Size
		bar.Trades++
	}
	return bar
}

func TestBarsEqualTheSlowTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slow := slowBars{trades: make(map[int64][]market.Trade), open: -1, closed: -1}
		var fast bar
		late := 0
		at := int64(1000 * time.Minute)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if rapid.IntRange(0, 9).Draw(t, "clock") == 0 {
				at += int64(rapid.IntRange(0, 100).Draw(t, "seconds")) * int64(time.Second)
				if fast.expired(at) {
					fast.close()
					equalBars(t, fast.now, *slow.close())
				}
				continue
			}
			at += int64(rapid.IntRange(-5, 25).Draw(t, "step")) * int64(time.Second)
			trade := *aTrade("A", at)
			trade.Price = float64(rapid.IntRange(1, 50).Draw(t, "price"))
			trade.Size = float64(rapid.IntRange(0, 9).Draw(t, "size"))

			done := slow.add(trade)
			if !fast.accepts(trade.Time) {
				late++
				continue
			}
			if fast.ends(trade.Time) {
				fast.close()
				equalBars(t, fast.now, *done)
				done = nil
			}
			if done != nil {
				t.Fatalf("the twin closed %+v", done)
			}
			fast.add(&trade)
			equalBars(t, fast.now, *slow.sum(slow.open))
		}
		if late != slow.late {
			t.Fatalf("%d late, want %d", late, slow.late)
		}
	})
}

func equalBars(t *rapid.T, got, want market.Bar) {
	t.Helper()
	if got != want {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

func TestMinuteHoldsTimesBeforeTheEpochToo(t *testing.T) {
	for _, tt := range []struct{ at, want int64 }{
		{0, 0},
		{barNS - 1, 0},
		{barNS, barNS},
		{-1, -barNS},
		{-barNS, -barNS},
	} {
		if got := minute(tt.at); got != tt.want {
			t.Errorf("minute(%d) = %d, want %d", tt.at, got, tt.want)
		}
	}
}
