package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/market"
)

const (
	// tickEvery paces what the clock drives: closing bars, retries, confirmations. A
	// forming bar's turn comes every barTurns ticks, that is, once a second; the symbols
	// take turns so that 10,000 bars do not come in one burst.
	tickEvery = 100 * time.Millisecond
	barTurns  = 10
)

// Config tunes a Feed. The zero value works.
type Config struct {
	// Window is how long a tick may wait for others of its stream. It stretches by itself
	// up to five times that while messages stay small at a high rate. 0 means 1ms; <0 publishes
	// each tick at once.
	Window time.Duration
	// Lease makes the feed one of several of the same source, of which one publishes and
	// the others stand by; the source must be live. nil: it is alone.
	Lease Lease
	// Trace follows one trade or quote in TraceEvery; nil follows none.
	Trace      TraceFunc
	TraceEvery int
}

// Validate reports every problem.
func (c Config) Validate() error {
	var errs []error
	if c.Window > time.Second {
		errs = append(errs, fmt.Errorf("feed: Window is %v, must be at most 1s", c.Window))
	}
	if c.Trace != nil && c.TraceEvery < 1 {
		errs = append(errs, fmt.Errorf("feed: TraceEvery is %d, must be 1 or more", c.TraceEvery))
	}
	return errors.Join(errs...)
}

// Stats counts since the start.
type Stats struct {
	Events   [market.Channels]int64 // ticks that got a number
	Symbols  int64
	Messages int64 // published
	Bytes    int64 // of their bodies
	Lost     int64 // ticks that got a number while the bus was away
	Refused  int64 // ticks that cannot be encoded: a number that is none, a bad name
	Late     int64 // trades left out of their bar, which was closed
	Window   time.Duration
	Active   bool // not standing by
}

// Feed publishes one source. Make it with New.
type Feed struct {
	source Source
	bus    Bus
	log    *zap.Logger

	mu          sync.Mutex // guards the rest, and every instrument and line
	pub         *publisher
	instruments map[string]*instrument
	all         []*instrument // in order of announcement
	trading     []*instrument // those with bars
	turn        int           // of the forming bars, 0 to barTurns-1
	clock       int64         // the newest tick's time; what closes bars when nothing is live
	late        int64
}

// An instrument is a symbol with its streams; those of channels not announced are nil.
type instrument struct {
	symbol   string
	channels []market.Channel
	lines    [market.Channels]*line
	bar      bar
}

// New returns a Feed that has not started. A wrong Config is an error of Run.
func New(source Source, bus Bus, cfg Config, log *zap.Logger) *Feed {
	f := &Feed{source: source, bus: bus, log: log, instruments: make(map[string]*instrument)}
	if cfg.Window == 0 {
		cfg.Window = time.Millisecond
	}
	f.pub = newPublisher(bus, source.Live(), max(0, cfg.Window), &f.mu, log)
	f.pub.lease, f.pub.active = cfg.Lease, cfg.Lease == nil
	f.pub.traced = sampler{trace: cfg.Trace, every: cfg.TraceEvery}
	return f
}

// Run publishes until the source ends or ctx does. It returns the source's error, and only
// once everything that can be published is, and its goroutines have ended. It runs once.
func (f *Feed) Run(ctx context.Context) error {
	if err := (Config{Window: f.pub.base, Trace: f.pub.traced.trace, TraceEvery: f.pub.traced.every}).Validate(); err != nil {
		return err
	}
	if f.pub.lease != nil && !f.pub.live {
		return errors.New("feed: a source that can wait needs no lease: what it has published it must not lose to another")
	}
	f.pub.ctx = ctx
	f.bus.OnReconnect(f.pub.onReconnect)

	loop, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { f.loop(loop) })
	err := f.source.Run(ctx, f)
	f.finish()
	stop()
	wg.Wait()
	if errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// Stats returns the counts as they are now.
func (f *Feed) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.pub.stats
	s.Symbols = int64(len(f.all))
	s.Late = f.late
	s.Window, s.Active = f.pub.window, f.pub.active
	return s
}

// Announce implements Sink.
func (f *Feed) Announce(list ...Instrument) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var fresh []*line
	var changed []*instrument
	for _, item := range list {
		if market.CheckSymbol(item.Symbol) != nil {
			continue // its ticks will be refused, and counted
		}
		in := f.instruments[item.Symbol]
		if in == nil {
			in = &instrument{symbol: item.Symbol}
			f.instruments[item.Symbol] = in
			f.all = append(f.all, in)
		}
		channels := item.Channels
		if slices.Contains(channels, market.ChannelTrade) && in.lines[market.ChannelBar] == nil {
			channels = append(slices.Clone(channels), market.ChannelBar)
			f.trading = append(f.trading, in)
		}
		before := len(fresh)
		for _, ch := range channels {
			if in.lines[ch] == nil {
				in.lines[ch] = &line{stream: market.Stream{Channel: ch, Symbol: in.symbol}}
				f.pub.timed.join(in.lines[ch])
				in.channels = append(in.channels, ch)
				fresh = append(fresh, in.lines[ch])
			}
		}
		if len(fresh) > before {
			slices.Sort(in.channels)
			changed = append(changed, in)
		}
	}
	if f.pub.active {
		f.pub.open(fresh)
		f.pub.announce(changed)
	}
}

// Trade implements Sink.
func (f *Feed) Trade(t *market.Trade) {
	f.mu.Lock()
	defer f.mu.Unlock()
	in := f.lookup(t.Symbol, market.ChannelTrade)
	if in == nil || !f.pub.trade(in.lines[market.ChannelTrade], t) {
		return
	}
	f.pub.sendAtOnce()
	f.clock = t.Time
	if !in.bar.accepts(t.Time) {
		f.late++
		return
	}
	if in.bar.ends(t.Time) {
		f.closeBar(in)
	}
	in.bar.add(t)
}

// Quote implements Sink.
func (f *Feed) Quote(q *market.Quote) {
	f.mu.Lock()
	defer f.mu.Unlock()
	in := f.lookup(q.Symbol, market.ChannelQuote)
	if in != nil && f.pub.quote(in.lines[market.ChannelQuote], q) {
		f.pub.sendAtOnce()
		f.clock = q.Time
	}
}

// Missed implements Sink.
func (f *Feed) Missed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, in := range f.trading {
		f.pub.missed(in.lines[market.ChannelTrade])
	}
}

// Rewind implements Sink.
func (f *Feed) Rewind() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, in := range f.trading {
		if in.bar.open {
			f.closeBar(in)
		}
		in.bar.closedEnd = 0
	}
}

// lookup finds the instrument of a tick, or counts the tick as refused.
func (f *Feed) lookup(symbol string, ch market.Channel) *instrument {
	in := f.instruments[symbol]
	if in == nil || in.lines[ch] == nil {
		f.pub.stats.Refused++
		return nil
	}
	return in
}

// loop owns the window and the clock until ctx ends.
func (f *Feed) loop(ctx context.Context) {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	window := time.NewTimer(0)
	window.Stop() // until a first tick waits
	defer window.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.pub.armed:
			f.locked(func() { window.Reset(f.pub.window) })
		case <-window.C:
			f.locked(f.pub.flush)
		case <-f.pub.back:
			f.locked(f.reconnected)
		case <-ticker.C:
			f.locked(f.tick)
		}
	}
}

func (f *Feed) locked(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// reconnected tells the bus again what it may have forgotten: a server that was restarted
// remembers nothing.
func (f *Feed) reconnected() {
	if !f.pub.active {
		return
	}
	f.pub.resume()
	for _, in := range f.all {
		for _, l := range in.lines {
			if l != nil {
				f.pub.repeat(l)
			}
		}
	}
	f.pub.silent = nil
	f.pub.announce(f.all)
}

// tick does what the clock asks for: one turn of bars, and the publisher's own duties.
func (f *Feed) tick() {
	f.turns()
	clock := f.clock
	if f.pub.live {
		clock = time.Now().UnixNano()
	}
	if !f.pub.stuck {
		for i := f.turn % barTurns; i < len(f.trading); i += barTurns {
			f.advance(f.trading[i], clock)
		}
	}
	f.pub.tick()
	if f.pub.active && !f.pub.stuck {
		for i := f.turn % upkeepTurns; i < len(f.all); i += upkeepTurns {
			f.pub.upkeep(f.all[i])
		}
	}
	if !f.pub.stuck {
		f.turn = (f.turn + 1) % (barTurns * upkeepTurns)
	}
}

// advance closes the instrument's bar if its time is over, and else publishes it as it forms.
func (f *Feed) advance(in *instrument, clock int64) {
	switch {
	case in.bar.expired(clock):
		f.closeBar(in)
	case in.bar.changed:
		f.publishBar(in)
	}
}

func (f *Feed) closeBar(in *instrument) {
	in.bar.close()
	f.publishBar(in)
}

func (f *Feed) publishBar(in *instrument) {
	in.bar.changed = false
	f.pub.bar(in.lines[market.ChannelBar], &in.bar.now)
}

// finish publishes what still waits, forming bars included.
func (f *Feed) finish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, in := range f.trading {
		if in.bar.changed {
			f.publishBar(in)
		}
	}
	f.pub.finish()
}
