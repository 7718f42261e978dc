package codec

import (
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/tickcast/tickcast/pkg/market"
)

// Kind tells the records that [NextTick] reads apart.
type Kind uint8

// The kinds of tick record.
const (
	KindTrade Kind = iota + 1
	KindQuote
	KindBar
	KindAggregate
	KindGap
)

// Head is what a node needs to know of a tick to route it.
type Head struct {
	Kind    Kind
	Channel market.Channel
	Symbol  []byte // aliases the record
	Seq, To int64  // To is Seq but for a gap or an aggregate, which end at it
}

// recordLevel is how deep a tick's own array may come to lie: in a snapshot in a batch.
// So what NextTick takes never makes a message deeper than MaxDepth.
const recordLevel = 3

// NextTick reads the trade, quote, bar, aggregate or gap at the front of buf and returns
// its head and its length. It checks the whole record as strictly as [DecodeBatch] and
// [AppendJSON] do, so that those cannot fail on it: types, the symbol, seqs above 0,
// finite numbers, UTF-8, at most [MaxRecordBytes]. Elements that later versions append are
// stepped over. Times and floats must be 64 bits wide, as Append* writes them. It
// allocates nothing unless it fails, with [ErrMalformed].
func NextTick(buf []byte) (h Head, length int, err error) {
	buf = buf[:min(len(buf), MaxRecordBytes)]
	n, i := arrayAt(buf, 0)
	name, i := strAt(buf, i)
	known, i := h.tickAt(buf, i, n, name)
	for ; known < n && i >= 0; known++ {
		i = walk(buf, i, recordLevel+1, hasTwin)
	}
	if i < 0 {
		return Head{}, 0, fmt.Errorf("%w: tick record %.20q", ErrMalformed, name)
	}
	return h, i, nil
}

// tickAt reads the elements after the name into h. It returns how many elements it knows,
// the name included, and -1 as the position if one is not as it should be.
func (h *Head) tickAt(buf []byte, i, n int, name []byte) (known, next int) {
	switch string(name) {
	case nameTrade:
		h.Kind, h.Channel, known = KindTrade, market.ChannelTrade, 8
		i = h.symbolSeqAt(buf, i)
		i = floatAt(buf, floatAt(buf, timeAt(buf, i)))
		i = tradeIDAt(buf, sideAt(buf, i))
	case nameQuote:
		h.Kind, h.Channel, known = KindQuote, market.ChannelQuote, 8
		i = h.symbolSeqAt(buf, i)
		i = floatsAt(buf, timeAt(buf, i), 4)
	case nameBar:
		h.Kind, h.Channel, known = KindBar, market.ChannelBar, 12
		i = h.symbolSeqAt(buf, i)
		_, i = intAt(buf, timeAt(buf, i))
		_, i = intAt(buf, floatsAt(buf, i, 5))
		i = boolAt(buf, i)
	case nameAggregate:
		h.Kind, h.Channel, known = KindAggregate, market.ChannelTrade, 12
		i = h.symbolSeqAt(buf, i)
		h.To, i = intAt(buf, i)
		i = timeAt(buf, timeAt(buf, i))
		_, i = intAt(buf, floatsAt(buf, i, 5))
	case nameGap:
		h.Kind, known = KindGap, 6
		i = h.gapAt(buf, i)
	default:
		return 0, -1
	}
	if n < known || h.To < h.Seq {
		return known, -1
	}
	return known, i
}

func (h *Head) gapAt(buf []byte, i int) int {
	name, i := strAt(buf, i)
	channel, ok := parseChannel(name)
	if !ok {
		return -1
	}
	h.Channel = channel
	i = h.symbolSeqAt(buf, i)
	h.To, i = intAt(buf, i)
	reason, i := strAt(buf, i)
	if !utf8.Valid(reason) {
		return -1
	}
	return i
}

func (h *Head) symbolSeqAt(buf []byte, i int) int {
	h.Symbol, i = strAt(buf, i)
	h.Seq, i = intAt(buf, i)
	h.To = h.Seq
	if h.Seq <= 0 || !symbolLegal(h.Symbol) {
		return -1
	}
	return i
}

func floatsAt(buf []byte, i, n int) int {
	for ; n > 0; n-- {
		i = floatAt(buf, i)
	}
	return i
}

func sideAt(buf []byte, i int) int {
	b, next := strAt(buf, i)
	if len(b) == 0 || len(b) == 1 && (b[0] == 'b' || b[0] == 's') {
		return next
	}
	return -1
}

func tradeIDAt(buf []byte, i int) int {
	b, next := strAt(buf, i)
	if len(b) > MaxTradeIDBytes || !utf8.Valid(b) {
		return -1
	}
	return next
}

// parseChannel is market.ParseChannel for bytes, without a copy.
func parseChannel(name []byte) (market.Channel, bool) {
	switch string(name) {
	case "trade":
		return market.ChannelTrade, true
	case "quote":
		return market.ChannelQuote, true
	case "bar":
		return market.ChannelBar, true
	}
	return 0, false
}

// TradeValues reads what an aggregate is made of from a trade record that [NextTick] has
// accepted. ts is the venue's clock in ns.
func TradeValues(rec []byte) (ts int64, price, size float64) {
	_, i := arrayAt(rec, 0)
	_, i = strAt(rec, i)
	_, i = strAt(rec, i)
	_, i = intAt(rec, i)
	v := rec[i : i+27]
	return int64(be.Uint64(v[1:])), math.Float64frombits(be.Uint64(v[10:])), math.Float64frombits(be.Uint64(v[19:]))
}
