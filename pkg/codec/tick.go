package codec

import (
	"fmt"
	"unicode/utf8"

	"github.com/tickcast/tickcast/pkg/market"
)

// The names of the tick events, as element 0 of a record spells them.
const (
	nameTrade     = "t"
	nameQuote     = "q"
	nameBar       = "b"
	nameAggregate = "a"
	nameGap       = "gap"
	nameSnapshot  = "snap"
)

var sideNames = [...]string{market.SideUnknown: "", market.SideBuy: "b", market.SideSell: "s"}

// AppendTrade appends t's record to dst and returns the grown slice:
// ["t", symbol, seq, time, price, size, side, id]. On error dst is as it was; the errors
// are market.ErrSymbol, [ErrSeq], [ErrNumber] and [ErrTradeID].
func AppendTrade(dst []byte, t *market.Trade) ([]byte, error) {
	if err := checkTick(t.Symbol, t.Seq, t.Price, t.Size, 0, 0, 0); err != nil {
		return dst, err
	}
	if err := checkTradeID(t); err != nil {
		return dst, err
	}
	side := ""
	if int(t.Side) < len(sideNames) {
		side = sideNames[t.Side]
	}
	dst = appendTickHead(dst, 8, nameTrade, t.Symbol, t.Seq)
	dst = appendTime(dst, t.Time)
	dst = appendFloat(dst, t.Price)
	dst = appendFloat(dst, t.Size)
	dst = appendStr(dst, side)
	return appendStr(dst, t.ID), nil
}

// AppendQuote appends q's record to dst and returns the grown slice:
// ["q", symbol, seq, time, bid price, bid size, ask price, ask size]. On error dst is as
// it was; the errors are market.ErrSymbol, [ErrSeq] and [ErrNumber].
func AppendQuote(dst []byte, q *market.Quote) ([]byte, error) {
	if err := checkTick(q.Symbol, q.Seq, q.BidPrice, q.BidSize, q.AskPrice, q.AskSize, 0); err != nil {
		return dst, err
	}
	dst = appendTickHead(dst, 8, nameQuote, q.Symbol, q.Seq)
	dst = appendTime(dst, q.Time)
	dst = appendFloat(dst, q.BidPrice)
	dst = appendFloat(dst, q.BidSize)
	dst = appendFloat(dst, q.AskPrice)
	return appendFloat(dst, q.AskSize), nil
}

// AppendBar appends b's record to dst and returns the grown slice: ["b", symbol, seq,
// start, interval, open, high, low, close, volume, trades, closed]. On error dst is as it
// was; the errors are those of [AppendQuote].
func AppendBar(dst []byte, b *market.Bar) ([]byte, error) {
	if err := checkTick(b.Symbol, b.Seq, b.Open, b.High, b.Low, b.Close, b.Volume); err != nil {
		return dst, err
	}
	dst = appendTickHead(dst, 12, nameBar, b.Symbol, b.Seq)
	dst = appendTime(dst, b.Start)
	dst = appendInt(dst, b.Interval)
	dst = appendFloat(dst, b.Open)
	dst = appendFloat(dst, b.High)
	dst = appendFloat(dst, b.Low)
	dst = appendFloat(dst, b.Close)
	dst = appendFloat(dst, b.Volume)
	dst = appendInt(dst, b.Trades)
	return appendBool(dst, b.Closed), nil
}

// AppendAggregate appends a's record to dst and returns the grown slice: ["a", symbol,
// from seq, to seq, first time, last time, open, high, low, close, volume, count]. On
// error dst is as it was; the errors are those of [AppendQuote].
func AppendAggregate(dst []byte, a *market.Aggregate) ([]byte, error) {
	if err := checkTick(a.Symbol, a.FromSeq, a.Open, a.High, a.Low, a.Close, a.Volume); err != nil {
		return dst, err
	}
	if err := checkRange(a.Symbol, a.FromSeq, a.ToSeq); err != nil {
		return dst, err
	}
	dst = appendTickHead(dst, 12, nameAggregate, a.Symbol, a.FromSeq)
	dst = appendInt(dst, a.ToSeq)
	dst = appendTime(dst, a.FirstTime)
	dst = appendTime(dst, a.LastTime)
	dst = appendFloat(dst, a.Open)
	dst = appendFloat(dst, a.High)
	dst = appendFloat(dst, a.Low)
	dst = appendFloat(dst, a.Close)
	dst = appendFloat(dst, a.Volume)
	return appendInt(dst, a.Count), nil
}

// AppendGap appends the record of a gap over from to to, both included: ["gap", channel,
// symbol, from, to, reason]. s must be legal and 0 < from <= to.
func AppendGap(dst []byte, s market.Stream, from, to int64, r Reason) []byte {
	dst = appendStr(appendArray(dst, 6), nameGap)
	dst = appendStr(dst, s.Channel.String())
	dst = appendStr(dst, s.Symbol)
	dst = appendInt(dst, from)
	dst = appendInt(dst, to)
	return appendStr(dst, string(r))
}

// AppendSnapshot appends ["snap", channel, symbol, event]: rec is the record of the
// stream's last tick, nil if there was none yet.
func AppendSnapshot(dst []byte, s market.Stream, rec []byte) []byte {
	dst = appendStr(appendArray(dst, 4), nameSnapshot)
	dst = appendStr(dst, s.Channel.String())
	dst = appendStr(dst, s.Symbol)
	if rec == nil {
		return append(dst, mpNil)
	}
	return append(dst, rec...)
}

func appendTickHead(dst []byte, elements int, name, symbol string, seq int64) []byte {
	dst = append(dst, mpFixArray|byte(elements), mpFixStr|byte(len(name)))
	dst = append(dst, name...)
	return appendInt(appendStr(dst, symbol), seq)
}

func checkTick(symbol string, seq int64, a, b, c, d, e float64) error {
	switch {
	case !symbolLegal(symbol):
		return market.CheckSymbol(symbol)
	case seq <= 0:
		return fmt.Errorf("%w: %s seq %d", ErrSeq, symbol, seq)
	case !finite(a) || !finite(b) || !finite(c) || !finite(d) || !finite(e):
		return fmt.Errorf("%w: %s seq %d", ErrNumber, symbol, seq)
	}
	return nil
}

func checkTradeID(t *market.Trade) error {
	if len(t.ID) > MaxTradeIDBytes || !utf8.ValidString(t.ID) {
		return fmt.Errorf("%w: %s seq %d: %.40q", ErrTradeID, t.Symbol, t.Seq, t.ID)
	}
	return nil
}

func checkRange(symbol string, from, to int64) error {
	switch {
	case !symbolLegal(symbol):
		return market.CheckSymbol(symbol)
	case from <= 0 || to < from:
		return fmt.Errorf("%w: %s from %d to %d", ErrSeq, symbol, from, to)
	}
	return nil
}
