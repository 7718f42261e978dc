package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/tickcast/tickcast/pkg/client"
)

// A summary counts what was printed.
type summary struct {
	began   time.Time
	events  int64
	kinds   [4]int64 // as kindNames
	gaps    int64
	missed  int64
	streams map[client.Stream]struct{}
}

var kindNames = [4]string{"trades", "quotes", "bars", "summaries"}

func newSummary(now time.Time) *summary {
	return &summary{began: now, streams: make(map[client.Stream]struct{})}
}

func (s *summary) add(ev client.Event) {
	s.events++
	if snap, ok := ev.(client.Snapshot); ok {
		s.streams[snap.Stream] = struct{}{}
		ev = snap.Event
	}
	switch ev := ev.(type) {
	case client.Trade:
		s.tick(0, client.ChannelTrade, ev.Symbol)
	case client.Quote:
		s.tick(1, client.ChannelQuote, ev.Symbol)
	case client.Bar:
		s.tick(2, client.ChannelBar, ev.Symbol)
	case client.Aggregate:
		s.tick(3, client.ChannelTrade, ev.Symbol)
	case client.Gap:
		s.gaps++
		if ev.Reason != client.ReasonReset {
			s.missed += ev.To - ev.From + 1
		}
	}
}

func (s *summary) tick(kind int, ch client.Channel, symbol string) {
	s.kinds[kind]++
	s.streams[client.Stream{Channel: ch, Symbol: symbol}] = struct{}{}
}

// line sums up in a sentence.
func (s *summary) line(now time.Time, reconnects int64) string {
	var parts []string
	for i, n := range s.kinds {
		if n > 0 {
			parts = append(parts, humanize.Comma(n)+" "+kindNames[i])
		}
	}
	if len(parts) == 0 {
		parts = []string{"nothing"}
	}
	took := now.Sub(s.began)
	line := fmt.Sprintf("%s from %d streams in %s", strings.Join(parts, ", "), len(s.streams), took.Round(10*time.Millisecond))
	if s.gaps > 0 {
		line += fmt.Sprintf("; %d gaps, %s events missed", s.gaps, humanize.Comma(s.missed))
	}
	if reconnects > 0 {
		line += fmt.Sprintf("; connection lost %d times", reconnects)
	}
	return line
}
