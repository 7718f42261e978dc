package backpressure

import (
	"fmt"
	"strings"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// A twin is the slow, obvious side of a queue: it keeps every single event of every stream
// that was queued, in order, and holds what comes out against that.
type twin struct {
	streams map[market.Stream]*tape
	pongs   int64 // control records so far
	out     int64 // of them, seen
	seen    Outcome
}

// A tape is what was queued of one stream and how much of it has been accounted for.
type tape struct {
	entries []entry
	next    int
}

// An entry is one tick, one gap told to the queue, or one control record.
type entry struct {
	event      codec.Event
	seq        int64 // of a tick
	conflates  bool
	owed       bool // must come as itself
	superseded bool // by another tick of its interval
}

func newTwin() *twin { return &twin{streams: map[market.Stream]*tape{}} }

func (w *twin) tape(s market.Stream) *tape {
	if w.streams[s] == nil {
		w.streams[s] = &tape{}
	}
	return w.streams[s]
}

// control marks every stream: nothing of it may cross the record.
func (w *twin) control() (rec []byte) {
	w.pongs++
	for _, tp := range w.streams {
		tp.entries = append(tp.entries, entry{event: codec.Pong{Time: w.pongs}})
	}
	return codec.AppendPong(nil, nil, w.pongs)
}

// sees accounts for one event that came out.
func (w *twin) sees(ev codec.Event) error {
	switch ev := ev.(type) {
	case codec.Pong:
		if w.out++; ev.Time != w.out {
			return fmt.Errorf("control record %d came, want %d", ev.Time, w.out)
		}
		for s, tp := range w.streams {
			if err := w.skip(tp); err != nil {
				return fmt.Errorf("%v at control record %d: %w", s, ev.Time, err)
			}
			if e := tp.peek(); e == nil || e.event != ev {
				return fmt.Errorf("%v: control record %d came before %+v", s, ev.Time, e)
			}
			tp.next++
		}
		return nil
	case codec.Gap:
		tp := w.tape(ev.Stream)
		if ev.Reason == codec.ReasonSlow {
			n, err := w.span(tp, ev.From, ev.To, nil)
			w.seen.Dropped += n
			return err
		}
		if e := tp.peek(); e == nil || e.event != ev {
			return fmt.Errorf("got %+v, want %+v", ev, e)
		}
		tp.next++
		return nil
	case market.Aggregate:
		want := market.Aggregate{Symbol: ev.Symbol}
		n, err := w.span(w.tape(market.Stream{Symbol: ev.Symbol}), ev.FromSeq, ev.ToSeq, &want)
		w.seen.Aggregated += n
		if err == nil && ev != want {
			err = fmt.Errorf("got %+v, want %+v", ev, want)
		}
		return err
	}
	s, seq := streamOf(ev)
	tp := w.tape(s)
	for {
		e := tp.peek()
		switch {
		case e == nil:
			return fmt.Errorf("%v: seq %d came out of nothing", s, seq)
		case e.seq == seq && e.event == ev && !e.superseded:
			tp.next++
			return nil
		}
		if err := w.pass(tp); err != nil {
			return fmt.Errorf("%v: seq %d came: %w", s, seq, err)
		}
	}
}

func (tp *tape) peek() *entry {
	if tp.next == len(tp.entries) {
		return nil
	}
	return &tp.entries[tp.next]
}

// pass lets one tick go undelivered, which only conflation may do.
func (w *twin) pass(tp *tape) error {
	e := tp.peek()
	if !e.superseded {
		if !e.conflates {
			return fmt.Errorf("%+v was lost", e)
		}
		if later := tp.tickAfter(); later == nil || !later.conflates {
			return fmt.Errorf("%+v was lost, though nothing superseded it", e)
		}
	}
	w.seen.Conflated++
	tp.next++
	return nil
}

// tickAfter is the next tick behind the one at the front, if no gap lies between.
func (tp *tape) tickAfter() *entry {
	for i := tp.next + 1; i < len(tp.entries); i++ {
		switch tp.entries[i].event.(type) {
		case codec.Pong:
		case codec.Gap:
			return nil
		default:
			return &tp.entries[i]
		}
	}
	return nil
}

// skip passes the conflated ticks in front of a control record.
func (w *twin) skip(tp *tape) error {
	for e := tp.peek(); e != nil && e.seq > 0; e = tp.peek() {
		if err := w.pass(tp); err != nil {
			return err
		}
	}
	return nil
}

// span accounts for the ticks from to to, which must be the very next, and sums up trades.
func (w *twin) span(tp *tape, from, to int64, sum *market.Aggregate) (n int, err error) {
	for e := tp.peek(); e != nil && (e.superseded || e.conflates && e.seq < from); e = tp.peek() {
		if err := w.pass(tp); err != nil {
			return 0, err
		}
	}
	if e := tp.peek(); e == nil || e.seq != from {
		return 0, fmt.Errorf("range %d to %d, want it to begin at %+v", from, to, e)
	}
	for e := tp.peek(); e != nil && e.seq > 0 && e.seq <= to; e = tp.peek() {
		if e.superseded {
			if err := w.pass(tp); err != nil {
				return 0, err
			}
			continue
		}
		if t, ok := e.event.(market.Trade); ok && sum != nil {
			addTrade(sum, t)
		}
		if e.owed {
			return n, fmt.Errorf("range to %d, but %d was owed", to, e.seq)
		}
		if s, _ := streamOf(e.event); n > 0 && s.Channel == market.ChannelTrade && e.seq != from+1 {
			return n, fmt.Errorf("range to %d, but %d to %d were never queued", to, from+1, e.seq-1)
		}
		n++
		tp.next++
		from = e.seq
	}
	if from != to {
		return n, fmt.Errorf("range to %d, but the last of it is %d", to, from)
	}
	return n, nil
}

func addTrade(a *market.Aggregate, t market.Trade) {
	if a.Count == 0 {
		a.FromSeq, a.FirstTime, a.Open, a.High, a.Low = t.Seq, t.Time, t.Price, t.Price, t.Price
	}
	a.ToSeq, a.LastTime, a.Close = t.Seq, t.Time, t.Price
	if t.Price > a.High {
		a.High = t.Price
	}
	if t.Price < a.Low {
		a.Low = t.Price
	}
	a.Volume += t.Size
	a.Count++
}

// done says what has not come out.
func (w *twin) done(o Outcome) error {
	for s, tp := range w.streams {
		if e := tp.peek(); e != nil {
			return fmt.Errorf("%v: %+v never came", s, *e)
		}
	}
	if w.out != w.pongs {
		return fmt.Errorf("%d of %d control records came", w.out, w.pongs)
	}
	if o.Disconnect = false; o != w.seen {
		return fmt.Errorf("outcomes told of %+v, the events of %+v", o, w.seen)
	}
	return nil
}

func streamOf(ev codec.Event) (market.Stream, int64) {
	switch ev := ev.(type) {
	case market.Trade:
		return market.Stream{Channel: market.ChannelTrade, Symbol: ev.Symbol}, ev.Seq
	case market.Quote:
		return market.Stream{Channel: market.ChannelQuote, Symbol: ev.Symbol}, ev.Seq
	case market.Bar:
		return market.Stream{Channel: market.ChannelBar, Symbol: ev.Symbol}, ev.Seq
	}
	panic(fmt.Sprintf("%T is no tick", ev))
}

// testTick makes a tick whose values depend on the seq alone, with sums that floats hold
// exactly. wide makes it longer.
func testTick(s market.Stream, seq int64, wide int) codec.Event {
	price := 100 + float64(seq*7919%512)/4
	switch s.Channel {
	case market.ChannelTrade:
		return market.Trade{Symbol: s.Symbol, Seq: seq, Time: seq * 1000, Price: price, Size: float64(1+seq%16) / 8,
			Side: market.SideSell, ID: strings.Repeat("x", wide)}
	case market.ChannelQuote:
		return market.Quote{Symbol: s.Symbol, Seq: seq, Time: seq * 1000, BidPrice: price, BidSize: 1, AskPrice: price + 1, AskSize: 2}
	}
	return market.Bar{Symbol: s.Symbol, Seq: seq, Start: seq * 60, Interval: 60, Open: price, Close: price, Trades: seq}
}

// testChunk makes a chunk of n ticks from first on.
func testChunk(s market.Stream, id uint32, first int64, n, wide int) (*codec.Chunk, []codec.Event) {
	var body []byte
	var events []codec.Event
	for seq := first; seq < first+int64(n); seq++ {
		ev := testTick(s, seq, wide)
		var err error
		if body, err = codec.AppendEvent(body, ev); err != nil {
			panic(err)
		}
		events = append(events, ev)
	}
	c, _, err := codec.ParseChunk(s, body)
	if err != nil {
		panic(err)
	}
	c.Stream = id
	return c, events
}

// ballast leaves little room in a batch. It is never decoded.
var ballast = make([]byte, codec.MaxBatchBytes)

// fill takes one batch out of q, which has about so many bytes of room left; 0 is all.
func fill(q *Queue, room int) ([]codec.Event, error) {
	var b codec.Batch
	b.Reset(q.enc, make([]byte, 0, codec.MaxBatchBytes))
	if room > 0 {
		b.Add(ballast[:codec.MaxBatchBytes-room-b.Size()], 1)
	}
	before, events := b.Size(), b.Len()
	q.Fill(&b, codec.MaxBatchBytes)
	n := b.Len() - events
	msg := b.Bytes()
	if len(msg) > codec.MaxBatchBytes {
		return nil, fmt.Errorf("batch of %d bytes", len(msg))
	}
	if room > 0 && n > 0 {
		var rest codec.Batch
		rest.Reset(q.enc, nil)
		if q.enc == codec.JSON {
			msg = msg[before-1 : len(msg)-1] // Size counts a comma and the bracket
		} else {
			msg = msg[before:]
		}
		rest.Add(msg, n)
		msg = rest.Bytes()
	} else if room > 0 {
		return nil, nil
	}
	got, err := codec.DecodeBatch(q.enc, msg)
	if err == nil && len(got) != n {
		err = fmt.Errorf("batch says %d events and has %d", n, len(got))
	}
	return got, err
}
