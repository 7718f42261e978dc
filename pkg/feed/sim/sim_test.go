package sim

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tickcast/tickcast/pkg/feed"
	"github.com/tickcast/tickcast/pkg/market"
)

// A recorder notes what it gets, and ends the run after limit events.
type recorder struct {
	announced []feed.Instrument
	lines     []string // without times
	times     []int64
	limit     int
	cancel    context.CancelFunc
	each      func() // called at each event
}

func (r *recorder) Announce(list ...feed.Instrument) { r.announced = append(r.announced, list...) }
func (r *recorder) Rewind()                          {}
func (r *recorder) Missed()                          {}

func (r *recorder) Trade(t *market.Trade) {
	r.take(fmt.Sprint("t ", t.Symbol, t.Price, t.Size, t.Side, t.ID), t.Time)
}

func (r *recorder) Quote(q *market.Quote) {
	r.take(fmt.Sprint("q ", q.Symbol, q.BidPrice, q.BidSize, q.AskPrice, q.AskSize), q.Time)
}

func (r *recorder) take(line string, at int64) {
	if r.limit > 0 && len(r.lines) == r.limit {
		return
	}
	r.lines = append(r.lines, line)
	r.times = append(r.times, at)
	if r.each != nil {
		r.each()
	}
	if len(r.lines) == r.limit {
		r.cancel()
	}
}

func record(t *testing.T, cfg Config, limit int) *recorder {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := &recorder{limit: limit, cancel: cancel}
	if err := s.Run(ctx, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// The golden hash stands for the first 20,000 events: whoever changes it breaks every test
// and benchmark that others wrote against a seed.
func TestTheSameSeedMakesTheSameMarket(t *testing.T) {
	hash := func(cfg Config) string {
		h := fnv.New64a()
		h.Write([]byte(strings.Join(record(t, cfg, 20_000).lines, "\n")))
		return fmt.Sprintf("%016x", h.Sum64())
	}
	const golden = "7d23711b53c6c126"
	if got := hash(Config{Seed: 1}); got != golden {
		t.Errorf("seed 1: %s, want %s", got, golden)
	}
	if got := hash(Config{Seed: 2}); got == golden {
		t.Error("seed 2 makes the market of seed 1")
	}
}

func TestTheClockDoesNotChangeTheMarket(t *testing.T) {
	cfg := Config{Seed: 7, Rate: 5000, Symbols: []string{"30"}}
	var smooth, stalled []string
	synctest.Test(t, func(t *testing.T) { smooth = record(t, cfg, 5000).lines })
	synctest.Test(t, func(t *testing.T) {
		s, _ := New(cfg)
		ctx, cancel := context.WithCancel(t.Context())
		r := &recorder{limit: 5000, cancel: cancel}
		r.each = func() {
			if len(r.lines)%777 == 0 {
				time.Sleep(33 * time.Millisecond)
			}
		}
		_ = s.Run(ctx, r)
		stalled = r.lines
	})
	if !slices.Equal(smooth, stalled) {
		t.Error("a stall changes the market")
	}
}

func TestMarketsAreSane(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var asked []string
		if rapid.Bool().Draw(t, "named") {
			asked = rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Z]{1,5}(/USD|\.B|Z6)?`), 1, 20, rapid.ID[string]).Draw(t, "names")
		} else {
			asked = []string{fmt.Sprint(rapid.IntRange(1, 300).Draw(t, "symbols"))}
		}
		list, err := instruments(asked)
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(list, rapid.Uint64().Draw(t, "seed"), rapid.Float64Range(0, 1e6).Draw(t, "rate"))
		w.move = 1 // walks as far in a short test as else in a long one
		last := make(map[string]market.Quote)
		for range 1000 {
			if w.next() == market.ChannelQuote {
				q := w.quote
				if !(q.BidPrice > 0 && q.AskPrice > q.BidPrice && q.BidSize > 0 && q.AskSize > 0) {
					t.Fatalf("bad quote: %+v", q)
				}
				last[q.Symbol] = q
				continue
			}
			tr := w.trade
			q, ok := last[tr.Symbol]
			want := q.AskPrice
			if tr.Side == market.SideSell {
				want = q.BidPrice
			}
			if !ok || tr.Price != want || !(tr.Size > 0) || tr.Side == market.SideUnknown {
				t.Fatalf("trade %+v after quote %+v", tr, q)
			}
		}
	})
}

func TestPricesStayNearTheirOpening(t *testing.T) {
	list, err := instruments([]string{"BTC/USD", "BRK.B", "EUR/USD", "ESZ6", "X"})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(list, 1, 0)
	w.move = 1
	for range 200_000 {
		w.next()
		for i := range w.books {
			if b := &w.books[i]; b.bid < b.open-b.band-1 || b.bid > b.open+b.band+1 {
				t.Fatalf("%s: %d ticks, opened at %d", b.symbol, b.bid, b.open)
			}
		}
	}
}

func TestPricesPrintShort(t *testing.T) {
	for _, line := range record(t, Config{Seed: 3, Symbols: []string{"300"}}, 20_000).lines {
		for _, field := range strings.Fields(line) {
			if len(field) > len("CAAAA/USD61800.12345") && strings.Count(field, ".") > 0 {
				t.Fatalf("%q", line)
			}
		}
	}
}

func TestActivityIsSkewed(t *testing.T) {
	list, _ := instruments(nil)
	w := newWorld(list, 1, 0)
	trades, count := 0, make(map[string]int)
	const n = 200_000
	for range n {
		if w.next() == market.ChannelTrade {
			trades++
			count[w.trade.Symbol]++
		} else {
			count[w.quote.Symbol]++
		}
	}
	if share := float64(trades) / n; math.Abs(share-0.2) > 0.01 {
		t.Errorf("%.3f of the events are trades, want a fifth", share)
	}
	total := 0.0
	for i := range list {
		total += 1 / float64(i+1)
	}
	for rank, in := range list {
		want := n / float64(rank+1) / total
		if got := float64(count[in.symbol]); math.Abs(got-want) > 6*math.Sqrt(want) {
			t.Errorf("%s, of rank %d: %.0f events, want about %.0f", in.symbol, rank, got, want)
		}
	}
}

func TestARateIsKept(t *testing.T) {
	for _, rate := range []float64{0.5, 1, 999, 2_345} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := New(Config{Rate: rate, Symbols: []string{"3"}})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second+time.Millisecond/2)
				defer cancel()
				start := time.Now()
				r := &recorder{}
				_ = s.Run(ctx, r)
				if got, want := float64(len(r.lines)), 20*rate; math.Abs(got-want) > 1+rate/1000 {
					t.Errorf("%.0f events in 20 s, want %.0f", got, want)
				}
				for i, at := range r.times {
					due := time.Duration(float64(i) / rate * 1e9)
					if late := time.Unix(0, at).Sub(start) - due; late < -time.Microsecond || late > 2*time.Millisecond {
						t.Fatalf("event %d is %v late", i, late)
					}
				}
			})
		})
	}
}

func TestCatchingUpIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name  string
		stall time.Duration
		lost  float64 // seconds' worth of events
	}{
		{"a short stall is made good", time.Second, 0},
		{"a long one is forgotten", time.Hour, 3600},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const rate = 1000
				s, _ := New(Config{Rate: rate})
				ctx, cancel := context.WithTimeout(t.Context(), tt.stall+10*time.Second)
				defer cancel()
				burst, most, at := 0, 0, time.Now()
				r := &recorder{}
				r.each = func() {
					if now := time.Now(); now != at {
						burst, at = 0, now
					}
					burst++
					most = max(most, burst)
					if len(r.lines) == rate {
						time.Sleep(tt.stall)
					}
				}
				_ = s.Run(ctx, r)
				want := (tt.stall.Seconds() + 10 - tt.lost) * rate
				if got := float64(len(r.lines)); math.Abs(got-want) > 0.05*rate {
					t.Errorf("%.0f events, want %.0f", got, want)
				}
				if limit := int(rate * burstMax.Seconds()); most > limit {
					t.Errorf("a burst of %d, want at most %d", most, limit)
				}
			})
		})
	}
}

func TestSymbols(t *testing.T) {
	for _, tt := range []struct {
		asked string
		n     int
		some  string
		err   bool
	}{
		{asked: "", n: 100, some: "BRK.B BTC/USD EUR/USD ESZ6"},
		{asked: "5", n: 5, some: "BTC/USD"},
		{asked: "10000", n: 10_000, some: "AAPL"},
		{asked: "BRK.B,NEW, BTC/USD ,NEW", n: 3, some: "BRK.B NEW BTC/USD"},
		{asked: "7,AAPL", n: 2, some: "7 AAPL"},
		{asked: "0", err: true},
		{asked: "10001", err: true},
		{asked: "-1", err: true},
		{asked: "*", err: true},
		{asked: "A,,B", err: true},
	} {
		var asked []string
		if tt.asked != "" {
			asked = strings.Split(tt.asked, ",")
		}
		list, err := instruments(asked)
		if (err != nil) != tt.err {
			t.Errorf("%q: error %v", tt.asked, err)
			continue
		}
		names := make(map[string]bool)
		for _, in := range list {
			if err := market.CheckSymbol(in.symbol); err != nil {
				t.Error(err)
			}
			names[in.symbol] = true
		}
		if err == nil && (len(list) != tt.n || len(names) != tt.n) {
			t.Errorf("%q: %d symbols, %d different, want %d", tt.asked, len(list), len(names), tt.n)
		}
		for name := range strings.FieldsSeq(tt.some) {
			if !names[name] {
				t.Errorf("%q: no %s", tt.asked, name)
			}
		}
	}
}

func TestKindsFollowTheName(t *testing.T) {
	for name, want := range map[string]*kind{
		"AAPL": &equity, "ZZZ.A": &equity, "FOO/USD": &crypto, "FOOUSDT": &crypto,
		"NZD/SEK": &forex, "CAD/JPY": &yen, "SIH7": &future,
	} {
		if got := byName(name).kind; got != want {
			t.Errorf("%s: got %+v, want %+v", name, *got, *want)
		}
	}
}

func TestWrongRatesAreRefused(t *testing.T) {
	for _, rate := range []float64{-1, math.NaN(), math.Inf(1), 1e12} {
		if _, err := New(Config{Rate: rate}); err == nil {
			t.Errorf("%v was taken", rate)
		}
	}
}

func BenchmarkWorld(b *testing.B) {
	for _, n := range []string{"100", "10000"} {
		b.Run("symbols="+n, func(b *testing.B) {
			list, _ := instruments([]string{n})
			w := newWorld(list, 1, 0)
			for b.Loop() {
				w.next()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ticks/s")
		})
	}
}
