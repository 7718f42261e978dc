package tape

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/feed"
	"github.com/tickcast/tickcast/pkg/market"
)

// However time is cut into windows, what has happened by its end is rate times its length, by
// turns, and every symbol's seqs rise by one from window to window.
func TestWindowsHoldEveryTradeOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		symbols := Symbols(rapid.IntRange(1, 30).Draw(t, "symbols"))
		rate := rapid.Float64Range(1, 50_000).Draw(t, "rate")
		start := time.Unix(1_700_000_000, 0)
		w := NewWindows(New(symbols, rate, start))
		last := make([]int64, len(symbols))
		total, now := 0, start
		for range rapid.IntRange(1, 20).Draw(t, "windows") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "µs")) * time.Microsecond)
			w.Take(now)
			sum := 0
			for i, chunk := range w.Chunks {
				sum += w.Counts[i]
				for range w.Counts[i] {
					h, n, err := codec.NextTick(chunk)
					if err != nil || string(h.Symbol) != symbols[i] || last[i] != 0 && h.Seq != last[i]+1 {
						t.Fatalf("%s: seq %d after %d, %v", h.Symbol, h.Seq, last[i], err)
					}
					if ts, _, _ := codec.TradeValues(chunk[:n]); ts < start.UnixNano() || ts > now.UnixNano() {
						t.Fatalf("a trade of %d ns at %d ns", ts-start.UnixNano(), now.Sub(start))
					}
					last[i], chunk = h.Seq, chunk[n:]
				}
				if len(chunk) > 0 {
					t.Fatalf("%d bytes more than %d trades", len(chunk), w.Counts[i])
				}
			}
			if sum != w.Total {
				t.Fatalf("%d trades in chunks, %d in all", sum, w.Total)
			}
			total += sum
		}
		if want := int(now.Sub(start).Seconds() * rate); total != want {
			t.Errorf("%d trades in %v at %v a second, want %d", total, now.Sub(start), rate, want)
		}
	})
}

// A sink counts the trades of each symbol.
type sink map[string]int

func (sink) Announce(...feed.Instrument) {}
func (sink) Quote(*market.Quote)         {}
func (sink) Rewind()                     {}
func (sink) Missed()                     {}
func (s sink) Trade(t *market.Trade)     { s[t.Symbol]++ }

// Symbols trade by turns or by chance, and as often in all.
func TestSourcesKeepTheirRate(t *testing.T) {
	for _, random := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Second+time.Microsecond)
			defer stop()
			got, symbols := make(sink), Symbols(10)
			if err := (&Source{Symbols: symbols, Rate: 1000, Random: random}).Run(ctx, got); err != nil {
				t.Fatal(err)
			}
			total, even := 0, true
			for _, name := range symbols {
				total += got[name]
				even = even && got[name] == 1000
				if got[name] < 800 || got[name] > 1200 {
					t.Errorf("%s trades %d times of 10,000, random %v", name, got[name], random)
				}
			}
			if total != 10_000 || even == random {
				t.Errorf("random %v: %d trades, %v", random, total, got)
			}
		})
	}
}
