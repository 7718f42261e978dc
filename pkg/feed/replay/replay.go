package replay

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/feed"
	"github.com/tickcast/tickcast/pkg/market"
)

const (
	// silenceMax is the longest silence that is kept: one file may be of a Friday and the
	// next of a year later.
	silenceMax = time.Hour
	// clockEvery is how many events may share one reading of the clock when none is
	// waited for.
	clockEvery = 64
)

// Config says how to play.
type Config struct {
	// Speed is how many recorded seconds pass in one. 0 is as fast as it goes.
	Speed float64
	// Loop begins again at the end.
	Loop bool
	// Retime moves the times to now: at speed 1 all by as much, so that the first tick
	// happens now; else each tick to the moment at which it is emitted.
	Retime bool
	// Symbols are the ones to play, by their published or recorded name. Empty means all.
	Symbols []string
}

// Stats counts since the start.
type Stats struct {
	Trades, Quotes int64
	Skipped        int64 // lines with neither, or of symbols not wanted
	Repeats        int64 // events that another file had too
	Bad            int64 // lines that cannot be read
	Damaged        int64 // files that cannot be read to their end
}

// Source is a feed.Source. Make it with New.
type Source struct {
	cfg     Config
	log     *zap.Logger
	files   []*file
	total   int64 // bytes of all files, as stored
	symbols map[string]bool

	trades, quotes, skipped, repeats, bad, damagedFiles atomic.Int64

	// Run's goroutine.
	several     map[string]bool // symbols of more than one venue
	instruments map[name]*instrument
	bytes       int64 // of files that were read to their end in this pass
	report      report
}

// New looks at path, a file or a folder that is searched whole. It fails if no recording is
// there; what a folder holds besides is named in one warning. Its error begins with the name of
// the option, file or speed.
func New(path string, cfg Config, log *zap.Logger) (*Source, error) {
	if cfg.Speed != 0 && !(cfg.Speed >= 0.001 && cfg.Speed <= 1e6) {
		return nil, fmt.Errorf("speed %v: 0, or 0.001 to 1,000,000", cfg.Speed)
	}
	files, others, err := find(path)
	if err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	if len(others) > 0 {
		log.Warn("no recordings, left out", zap.Strings("files", others))
	}
	s := &Source{cfg: cfg, log: log, files: files, symbols: make(map[string]bool)}
	for _, symbol := range cfg.Symbols {
		s.symbols[symbol] = true
	}
	for _, f := range files {
		s.total += f.size
	}
	return s, nil
}

// Live implements feed.Source.
func (s *Source) Live() bool { return false }

// Stats returns the counts as they are now.
func (s *Source) Stats() Stats {
	return Stats{
		Trades: s.trades.Load(), Quotes: s.quotes.Load(), Skipped: s.skipped.Load(),
		Repeats: s.repeats.Load(), Bad: s.bad.Load(), Damaged: s.damagedFiles.Load(),
	}
}

// Run implements feed.Source.
func (s *Source) Run(ctx context.Context, sink feed.Sink) error {
	s.several = shared(ctx, s.files)
	s.instruments = make(map[name]*instrument)
	s.log.Info("replay begins", zap.Int("files", len(s.files)), zap.Int64("bytes", s.total), zap.Float64("speed", s.cfg.Speed))
	s.report = report{at: time.Now().Add(reportEvery)}
	defer s.summary()
	for {
		before := s.events()
		s.pass(ctx, sink)
		if ctx.Err() != nil || !s.cfg.Loop {
			return nil
		}
		if s.events() == before {
			return errors.New("replay: nothing to play again and again")
		}
		sink.Rewind()
		for _, in := range s.instruments {
			in.lastID = [market.Channels]int64{}
		}
	}
}

// pass plays everything once, or until ctx ends.
func (s *Source) pass(ctx context.Context, sink feed.Sink) {
	s.bytes = 0
	m := newMerge(s.files)
	defer func() { m.close() }()
	p := pace{Config: s.cfg, log: s.log}
	for n := 0; ; n++ {
		t := m.next(ctx, s)
		if t == nil {
			return
		}
		if n%clockEvery == 0 {
			if ctx.Err() != nil {
				return
			}
			p.now = time.Now()
			s.reportIfDue(p.now, t, m)
		}
		if t.in.repeats(&t.ev) {
			s.repeats.Add(1)
			m.advance(ctx, s)
			continue
		}
		p.begin(t)
		for wait := p.wait(t.key); wait > 0; wait = p.wait(t.key) {
			if !sleep(ctx, min(wait, s.report.at.Sub(p.now))) {
				return
			}
			p.now = time.Now()
			s.reportIfDue(p.now, t, m)
		}
		p.retime(&t.ev)
		s.emit(t, sink)
		m.advance(ctx, s)
	}
}

func (s *Source) emit(t *tape, sink feed.Sink) {
	in, ch := t.in, t.ev.channel
	if !in.announced[ch] {
		in.announced[ch] = true
		sink.Announce(feed.Instrument{Symbol: in.symbol, Channels: []market.Channel{ch}})
	}
	if ch == market.ChannelTrade {
		s.trades.Add(1)
		t.ev.trade.Symbol = in.symbol
		sink.Trade(&t.ev.trade)
		return
	}
	s.quotes.Add(1)
	t.ev.quote.Symbol = in.symbol
	sink.Quote(&t.ev.quote)
}

// instrument returns the instrument of that name; its error says that the name is no symbol.
func (s *Source) instrument(n name) (*instrument, error) {
	if in := s.instruments[n]; in != nil {
		return in, nil
	}
	symbol := n.unique(s.several)
	if err := market.CheckSymbol(symbol); err != nil {
		return nil, err
	}
	in := &instrument{symbol: symbol}
	in.wanted = len(s.symbols) == 0 || s.symbols[symbol] || s.symbols[n.symbol]
	s.instruments[n] = in
	return in, nil
}

func (s *Source) events() int64 { return s.trades.Load() + s.quotes.Load() }

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
