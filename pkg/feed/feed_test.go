package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// play runs a feed over the script inside a bubble of fake time.
func play(t *testing.T, b *fakeBus, live bool, run func(ctx context.Context, f *Feed)) Stats {
	t.Helper()
	var f *Feed
	f = New(script{live, func(ctx context.Context, sink Sink) error {
		run(ctx, f)
		return nil
	}}, b, Config{}, zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel)))
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f.Stats()
}

// announce makes "A" known and returns the number before its first trade.
func announce(f *Feed) int64 {
	f.Announce(Instrument{"A", both})
	return f.instruments["A"].lines[market.ChannelTrade].seq
}

func TestNumbersBeginAtTheClockAfterAReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		now := time.Now().UnixMicro()
		stats := play(t, b, true, func(_ context.Context, f *Feed) {
			announce(f)
			for range 3 {
				f.Trade(aTrade("A", 0))
			}
			f.Quote(aQuote("A", 0))
		})
		for s, want := range map[market.Stream]message{
			trades: {stream: trades, first: now, last: now + 2, reset: now - 1},
			quotes: {stream: quotes, first: now, last: now, reset: now - 1},
			bars:   {stream: bars, first: now, last: now, reset: now - 1},
		} {
			list := b.of(s)
			if len(list) != 1 {
				t.Fatalf("%v: %d messages, want 1", s, len(list))
			}
			list[0].bytes = 0
			if list[0] != want {
				t.Errorf("%v: got %+v, want %+v", s, list[0], want)
			}
		}
		if want := []string{"A: trade,quote,bar"}; !slices.Equal(b.announced, want) {
			t.Errorf("announced %q, want %q", b.announced, want)
		}
		if want := [market.Channels]int64{3, 1, 1}; stats.Events != want || stats.Messages != 3 || stats.Lost != 0 {
			t.Errorf("got %+v", stats)
		}
	})
}

func TestARestartCarriesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		var base int64
		play(t, b, true, func(_ context.Context, f *Feed) {
			base = announce(f)
			f.Trade(aTrade("A", 0))
			f.Trade(aTrade("A", 0))
		})
		time.Sleep(time.Hour)
		play(t, b, true, func(_ context.Context, f *Feed) {
			announce(f)
			f.Trade(aTrade("A", 0))
		})
		if got, want := b.story(trades, base), "1-2 void 1 4-4"; got != want {
			t.Errorf("got %s, want %s: nobody knows what came meanwhile", got, want)
		}
		if last := b.of(trades)[1]; last.reset != 0 {
			t.Errorf("a second reset: %+v", last)
		}
	})
}

func TestAnUnknownStoreMeansNewNumbers(t *testing.T) {
	for _, live := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := newFakeBus(t)
			b.noStore = true
			play(t, b, live, func(_ context.Context, f *Feed) {
				announce(f)
				f.Trade(aTrade("A", 0))
			})
			if list := b.of(trades); len(list) != 1 || list[0].reset == 0 {
				t.Errorf("live=%v: got %+v, want one message with a reset", live, list)
			}
		})
	}
}

func TestTicksOfOneWindowShareAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		play(t, b, true, func(_ context.Context, f *Feed) {
			announce(f)
			for range 5 {
				f.Trade(aTrade("A", 0))
				time.Sleep(150 * time.Microsecond)
			}
			if n := len(b.of(trades)); n != 0 {
				t.Errorf("%d messages before the window ended", n)
			}
			time.Sleep(300 * time.Microsecond)
			synctest.Wait()
			if n := len(b.of(trades)); n != 1 {
				t.Errorf("%d messages after the window, want 1", n)
			}
		})
	})
}

func TestWithoutAWindowEachTickIsPublishedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		playLive(t, b, Config{Window: -1}, func(f *Feed) {
			announce(f)
			for range 3 {
				f.Trade(aTrade("A", time.Now().UnixNano()))
			}
			f.Quote(aQuote("A", time.Now().UnixNano()))
			if got := [2]int{len(b.of(trades)), len(b.of(quotes))}; got != [2]int{3, 1} {
				t.Errorf("%v messages of 3 trades and a quote", got)
			}
			time.Sleep(2 * time.Second)
			if synctest.Wait(); len(b.of(bars)) == 0 {
				t.Error("the bar was not published")
			}
		})
	})
}

func TestTheWindowStretchesOnlyWhileMessagesAreSmallAndMany(t *testing.T) {
	for _, tt := range []struct {
		name          string
		streams, each int // in a burst
		want          time.Duration
	}{
		{"few streams", 10, 1, time.Millisecond},
		{"many streams with a tick each", 200, 1, 5 * time.Millisecond},
		{"many streams with some ticks each", 200, 4, 5 * time.Millisecond},
		{"many streams with many ticks each", 200, 30, time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				play(t, newFakeBus(t), true, func(_ context.Context, f *Feed) {
					var list []Instrument
					for i := range tt.streams {
						list = append(list, Instrument{fmt.Sprint("S", i), both})
					}
					f.Announce(list...)
					for range 30 {
						for i := range tt.streams * tt.each {
							f.Quote(aQuote(list[i%tt.streams].Symbol, 0))
						}
						time.Sleep(1100 * time.Microsecond) // so that no window ends amid a burst
					}
					if got := f.Stats().Window; got != tt.want {
						t.Errorf("window %v, want %v", got, tt.want)
					}
				})
			})
		})
	}
}

func TestABodyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		const n = 10_000
		var base int64
		play(t, b, true, func(_ context.Context, f *Feed) {
			base = announce(f)
			for range n {
				f.Trade(aTrade("A", 0))
			}
		})
		for _, m := range b.of(trades) {
			if m.bytes > bodyBytesMax {
				t.Errorf("a body of %d bytes", m.bytes)
			}
		}
		if got, want := b.story(trades, base), fmt.Sprintf("1-%d", n); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestTheErrorOfASourceIsReturnedAfterItsTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		broken := errors.New("broken")
		f := New(script{true, func(_ context.Context, sink Sink) error {
			sink.Announce(Instrument{"A", both})
			sink.Trade(aTrade("A", 0))
			return broken
		}}, b, Config{}, zap.NewNop())
		if err := f.Run(t.Context()); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		if len(b.of(trades)) != 1 {
			t.Error("the tick was not published")
		}
	})
}

func TestWhatCannotBeEncodedTakesNoNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		var base int64
		stats := play(t, b, true, func(_ context.Context, f *Feed) {
			base = announce(f)
			f.Announce(Instrument{"bad\n", both})
			bad := aTrade("A", 0)
			bad.Price /= 0 * bad.Size
			f.Trade(bad)
			f.Trade(aTrade("never announced", 0))
			f.Trade(aTrade("bad\n", 0))
			f.Trade(aTrade("A", 0))
		})
		if got := b.story(trades, base); got != "1-1" || stats.Refused != 3 {
			t.Errorf("got %s and %d refused, want 1-1 and 3", got, stats.Refused)
		}
	})
}

func TestBarsFormOnceASecondAndCloseOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(30 * time.Second) // the bubble's clock starts at a full minute
		b := newFakeBus(t)
		play(t, b, true, func(_ context.Context, f *Feed) {
			announce(f)
			for range 200 { // 10 seconds
				f.Trade(aTrade("A", time.Now().UnixNano()))
				time.Sleep(50 * time.Millisecond)
			}
			synctest.Wait()
			if n := len(b.of(bars)); n < 10 || n > 11 {
				t.Errorf("%d forming bars in 10 s", n)
			}
			time.Sleep(19 * time.Second)
			before := len(b.of(bars))
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if n := len(b.of(bars)) - before; n != 1 {
				t.Errorf("%d bars after the minute's end, want the closed one", n)
			}
			if bar := lastBar(t, b); !bar.Closed || bar.Trades != 200 || bar.Volume != 200 {
				t.Errorf("closed: %+v", bar)
			}
			f.Trade(aTrade("A", time.Now().Add(-10*time.Second).UnixNano()))
			if s := f.Stats(); s.Late != 1 {
				t.Errorf("%d late, want 1", s.Late)
			}
		})
	})
}

func TestARewindClosesBars(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		stats := play(t, b, false, func(_ context.Context, f *Feed) {
			announce(f)
			for range 2 {
				f.Trade(aTrade("A", 10*barNS))
				f.Trade(aTrade("A", 11*barNS))
				f.Rewind()
				if bar := lastBar(t, b); f.instruments["A"].bar.open || bar.Trades > 1 {
					t.Errorf("after the rewind: %+v", bar)
				}
			}
		})
		if stats.Late != 0 || stats.Events[market.ChannelBar] != 4 {
			t.Errorf("got %+v, want 4 closed bars and none late", stats)
		}
	})
}

// lastBar decodes the newest bar published.
func lastBar(t *testing.T, b *fakeBus) market.Bar {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last[bars] == nil {
		return market.Bar{}
	}
	c, _, err := codec.ParseChunk(bars, b.last[bars])
	if err != nil {
		t.Fatal(err)
	}
	batch := new(codec.Batch)
	batch.Reset(codec.MsgPack, nil)
	batch.AddRecord(c.LastRecord())
	events, err := codec.DecodeBatch(codec.MsgPack, batch.Bytes())
	if err != nil || len(events) != 1 {
		t.Fatal(events, err)
	}
	return events[0].(market.Bar)
}

func TestATickAllocatesNothing(t *testing.T) {
	b := newFakeBus(t)
	f := New(script{live: true}, b, Config{}, zap.NewNop())
	f.Announce(Instrument{"A", both})
	trade, quote := aTrade("A", 0), aQuote("A", 0)
	tick := func() {
		f.Trade(trade)
		f.Quote(quote)
		for _, l := range f.pub.queue { // sent, as far as memory goes
			l.buf, l.n = l.buf[:0], 0
		}
	}
	tick()
	if n := testing.AllocsPerRun(1000, tick); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// nowhere is a bus that costs nothing.
type nowhere struct{}

func (nowhere) Publish(market.Stream, []byte) error                          { return nil }
func (nowhere) PublishWith(market.Stream, []byte, map[string][]string) error { return nil }
func (nowhere) Announce(string, []market.Channel) error                      { return nil }
func (nowhere) Flush(context.Context) error                                  { return nil }
func (nowhere) OnReconnect(func())                                           {}
func (nowhere) Last(context.Context, []market.Stream, func(market.Stream, []byte)) error {
	return nil
}

func BenchmarkFeed(b *testing.B) {
	for _, symbols := range []int{100, 10_000} {
		b.Run(fmt.Sprint("symbols=", symbols), func(b *testing.B) {
			var list []Instrument
			for i := range symbols {
				list = append(list, Instrument{fmt.Sprint("SYM", i), both})
			}
			n := int64(0)
			f := New(script{false, func(_ context.Context, sink Sink) error {
				sink.Announce(list...)
				trade, quote := aTrade("", 0), aQuote("", 0)
				for b.Loop() {
					n++
					symbol := list[n*7919%int64(symbols)].Symbol
					if n%5 == 0 {
						trade.Symbol, trade.Time = symbol, n*1000
						sink.Trade(trade)
					} else {
						quote.Symbol, quote.Time = symbol, n*1000
						sink.Quote(quote)
					}
				}
				return nil
			}}, nowhere{}, Config{}, zap.NewNop())
			if err := f.Run(context.Background()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "ticks/s")
		})
	}
}
