package replay

import (
	"math"
	"time"

	"go.uber.org/zap"
)

const reportEvery = 5 * time.Second

// A report is the state between two lines of progress.
type report struct {
	at     time.Time // when the next is due
	events int64     // at the last
}

func (s *Source) reportIfDue(now time.Time, at *tape, m merge) {
	late := now.Sub(s.report.at)
	if late < 0 {
		return
	}
	read := s.bytes
	for _, t := range m {
		read += t.progress()
	}
	events := s.events()
	s.log.Info("replay",
		zap.Float64("percent", tenths(100*float64(read)/float64(s.total))),
		zap.Int64("events", events),
		zap.Float64("per_second", tenths(float64(events-s.report.events)/(reportEvery+late).Seconds())),
		zap.Time("recorded", time.Unix(0, at.ev.time()).UTC()))
	s.report = report{at: now.Add(reportEvery), events: events}
}

func (s *Source) summary() {
	n := s.Stats()
	s.log.Info("replay ends",
		zap.Int64("trades", n.Trades), zap.Int64("quotes", n.Quotes), zap.Int64("skipped", n.Skipped),
		zap.Int64("repeats", n.Repeats), zap.Int64("bad_lines", n.Bad), zap.Int64("damaged_files", n.Damaged))
}

func tenths(f float64) float64 { return math.Round(f*10) / 10 }
