package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/tickcast/tickcast/pkg/client"
	"github.com/tickcast/tickcast/pkg/codec"
)

// A printer writes each event as a line: for eyes in columns, or as JSON.
type printer struct {
	out    io.Writer
	json   bool
	colour bool

	decimals map[string]int // by symbol: the most that a price has had
}

// The columns. A symbol that is wider moves its own line only.
const (
	symbolWidth = 10
	numberWidth = 11
)

// The colours of a terminal.
const (
	green  = "32"
	red    = "31"
	yellow = "33"
	dim    = "2"
)

func (p *printer) paint(colour, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func (p *printer) event(ev client.Event) error {
	if p.json {
		rec, err := codec.AppendEvent(nil, ev)
		if err != nil {
			return err
		}
		line, err := codec.AppendJSON(nil, rec)
		if err != nil {
			return err
		}
		_, err = p.out.Write(append(line, '\n'))
		return err
	}
	_, err := io.WriteString(p.out, p.line(ev)+"\n")
	return err
}

// line returns an event in columns: time, symbol, kind, and what there is to say.
func (p *printer) line(ev client.Event) string {
	switch ev := ev.(type) {
	case client.Trade:
		return p.columns(ev.Time, ev.Symbol, "trade", p.side(ev.Side)+p.price(ev.Symbol, ev.Price)+" x "+plain(ev.Size))
	case client.Quote:
		return p.columns(ev.Time, ev.Symbol, "quote", p.sides(ev))
	case client.Bar:
		state := "forming"
		if ev.Closed {
			state = "closed"
		}
		return p.columns(ev.Start, ev.Symbol, "bar", fmt.Sprintf("    %s  volume %s in %d trades, %s", candle(ev.Open, ev.High, ev.Low, ev.Close), plain(ev.Volume), ev.Trades, state))
	case client.Aggregate:
		return p.columns(ev.LastTime, ev.Symbol, "sum", fmt.Sprintf("    %s  volume %s in %d trades", candle(ev.Open, ev.High, ev.Low, ev.Close), plain(ev.Volume), ev.Count))
	case client.Snapshot:
		if ev.Event == nil {
			return p.columns(0, ev.Stream.Symbol, ev.Stream.Channel.String(), p.paint(dim, "    none yet"))
		}
		return p.line(ev.Event) + p.paint(dim, "  (last)")
	case client.Gap:
		return p.paint(yellow, p.columns(0, ev.Stream.Symbol, ev.Stream.Channel.String(), "    "+missed(ev)))
	}
	return fmt.Sprintf("%+v", ev)
}

// columns leaves the time out where it is 0.
func (p *printer) columns(ns int64, symbol, kind, text string) string {
	at := strings.Repeat(" ", len("15:04:05.000"))
	if ns != 0 {
		at = p.paint(dim, time.Unix(0, ns).Format("15:04:05.000"))
	}
	return at + "  " + pad(symbol, symbolWidth) + "  " + pad(kind, len("trade")) + "  " + text
}

func pad(text string, width int) string { return fmt.Sprintf("%-*s", width, text) }

func (p *printer) side(s client.Side) string {
	switch s {
	case client.SideBuy:
		return p.paint(green, "buy ")
	case client.SideSell:
		return p.paint(red, "sell")
	}
	return "    "
}

func (p *printer) sides(q client.Quote) string {
	bid, ask := p.price(q.Symbol, q.BidPrice), p.price(q.Symbol, q.AskPrice)
	return "    " + bid + " x " + pad(plain(q.BidSize), numberWidth) + ask + " x " + plain(q.AskSize)
}

// decimalsMax leaves out prices that a venue has computed: they would widen all others.
const decimalsMax = 8

// price gives all prices of a symbol as many decimals, so that their points stand in line.
func (p *printer) price(symbol string, f float64) string {
	text := plain(f)
	_, fraction, _ := strings.Cut(text, ".")
	if len(fraction) <= decimalsMax {
		p.decimals[symbol] = max(p.decimals[symbol], len(fraction))
		text = strconv.FormatFloat(f, 'f', p.decimals[symbol], 64)
	}
	return fmt.Sprintf("%*s", numberWidth, text)
}

// plain writes a number in full, in as few digits as read back the same.
func plain(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func number(f float64) string { return fmt.Sprintf("%*s", numberWidth, plain(f)) }

func candle(open, high, low, closing float64) string {
	return fmt.Sprintf("%s  high %s  low %s  close %s", number(open), plain(high), plain(low), plain(closing))
}

// missed tells of a gap in plain words.
func missed(g client.Gap) string {
	n := g.To - g.From + 1
	what := fmt.Sprintf("%d %ss missed", n, g.Stream.Channel)
	if n == 1 {
		what = strings.Replace(what, "s missed", " missed", 1)
	}
	why, ok := map[client.Reason]string{
		client.ReasonSlow:        "this program or its line was too slow",
		client.ReasonUpstream:    "lost before the node had them",
		client.ReasonHistory:     "they came while disconnected and are no longer kept",
		client.ReasonUnexplained: "the node did not say why",
	}[g.Reason]
	switch {
	case g.Reason == client.ReasonReset:
		return "the feed began its numbers anew; nothing is missing"
	case !ok:
		why = strconv.Quote(string(g.Reason))
	}
	return what + ": " + why
}
