package backpressure

import (
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// sum makes at an aggregate of its own trades and, if next is not nil, of those of next.
// It reports false, and changes nothing, if the two are not for aggregating, do not
// adjoin, or have a volume that no float64 holds: such trades stay as they are.
func (q *Queue) sum(at, next *item, o *Outcome) bool {
	if !at.sums() || next != nil && !(next.sums() && at.last()+1 == next.first()) {
		return false
	}
	total := market.Aggregate{Symbol: at.symbol()}
	n := at.addTo(&total)
	if next != nil {
		n += next.addTo(&total)
	}
	if total.Volume-total.Volume != 0 {
		return false
	}
	o.Aggregated += n
	if at.event == nil {
		at.event = &event{stream: at.chunk.Stream, sum: new(market.Aggregate)}
		at.chunk, at.size = nil, q.sumBytes(total.Symbol)
	}
	*at.event.sum = total
	return true
}

// sums reports that the item's trades may go into an aggregate, or have.
func (it *item) sums() bool {
	if it.chunk != nil {
		return it.policy == Aggregate
	}
	return it.event.sum != nil
}

func (it *item) symbol() string {
	if it.chunk != nil {
		return it.chunk.Symbol
	}
	return it.event.sum.Symbol
}

func (it *item) first() int64 {
	if it.chunk != nil {
		return it.chunk.First
	}
	return it.event.sum.FromSeq
}

func (it *item) last() int64 {
	if it.chunk != nil {
		return it.chunk.Last
	}
	return it.event.sum.ToSeq
}

// addTo adds the item's trades to total, in the order of their seqs, and returns how many
// of them were not in an aggregate before.
func (it *item) addTo(total *market.Aggregate) (fresh int) {
	if it.chunk == nil {
		extend(total, it.event.sum)
		return 0
	}
	seq := it.chunk.First
	for rec := range ticks(it.chunk) {
		ts, price, size := codec.TradeValues(rec)
		extend(total, &market.Aggregate{
			FromSeq: seq, ToSeq: seq, FirstTime: ts, LastTime: ts,
			Open: price, High: price, Low: price, Close: price, Volume: size, Count: 1,
		})
		seq++
	}
	return it.chunk.N
}

// extend adds next, which comes after it, to total.
func extend(total, next *market.Aggregate) {
	if total.Count == 0 {
		symbol := total.Symbol
		*total = *next
		total.Symbol = symbol
		return
	}
	total.ToSeq, total.LastTime, total.Close = next.ToSeq, next.LastTime, next.Close
	total.High, total.Low = max(total.High, next.High), min(total.Low, next.Low)
	total.Volume += next.Volume
	total.Count += next.Count
}
