package feed

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

const (
	// bodyBytesMax bounds a message. A line is sent before a record could take it beyond:
	// recordBytesMax is more than any record with a sane trade id takes.
	bodyBytesMax   = 32 << 10
	recordBytesMax = 1 << 10

	// aheadBytesMax bounds what a source that is not live may publish before the server
	// has confirmed it; it is also what is kept for sending again.
	aheadBytesMax = 4 << 20

	// A window is crowded, and the next one longer, when it sent more than crowdedMessages
	// per window of the base length and these held fewer than crowdedTicks on average:
	// then a quarter and more of what a tick costs every node is the message around it (ADR
	// 24). Otherwise the next one is shorter again, down to the base.
	crowdedMessages = 16
	crowdedTicks    = 24
	windowsMax      = 5 // the longest window, in base lengths
)

// A line is one stream's numbers and its ticks that wait.
type line struct {
	stream market.Stream
	seq    int64 // last one given
	unused int64 // numbers up to here were never given: the line began at the clock; 0 = it went on
	queued bool  // in publisher.queue
	opened bool  // seq is where the numbers stand

	skipped int64        // ticks that got no number since the lease was lost
	passed  market.Trade // the newest of them
	void    int64        // numbers up to seq that no tick has, of which the next message is to tell

	told      bool      // a message that says so was published
	tellUntil time.Time // until when messages are led by a gap that says so

	buf  []byte // n records
	n    int
	tail int // where the last record starts

	last     []byte // the newest record that is not in buf; nil = none
	lastLost bool   // last was refused by the bus
	fresh    bool   // published since upkeep last came by
	trace    *taken // the tick among those that wait which is followed; nil = none
	mark     int64  // publisher.tradeBytes when it was last published; of trades

	times     *codec.Times // of a tick among those that wait; mostly nil
	timedFrom int          // the turn of the stopwatch from which the next one's are noted
}

// publisher gives numbers, encodes, gathers and publishes. Everything is guarded by mu, the
// Feed's, except what onReconnect touches.
type publisher struct {
	bus  Bus
	live bool
	base time.Duration // window at low rates; 0 = none
	log  *zap.Logger
	ctx  context.Context // ends what may block; set by Feed.Run

	lease  Lease // nil where there is no other feed
	active bool  // numbers are given, and ticks published
	fell   bool  // and some were not: the lease was lost, if only for a moment

	armed chan struct{} // a first tick waits
	back  chan struct{} // the bus is connected again
	again atomic.Bool   // what is not confirmed must be sent again

	mu     *sync.Mutex
	window time.Duration
	queue  []*line // with waiting ticks, the longest waiting first
	silent []*instrument

	tradeBytes int64 // that the store of trades has taken of ours, about

	// Only when not live: what is published but not confirmed, and whether the bus refused
	// something. Then nothing new is taken until freed is closed.
	sent      []sentBody
	sentBytes int
	stuck     bool
	freed     chan struct{}

	losing bool // the last publication failed: one log line each way
	traced sampler
	timed  stopwatch
	stats  Stats
}

type sentBody struct {
	stream market.Stream
	body   []byte
}

func newPublisher(bus Bus, live bool, window time.Duration, mu *sync.Mutex, log *zap.Logger) *publisher {
	return &publisher{
		bus: bus, live: live, base: window, window: window, mu: mu, log: log,
		ctx:   context.Background(),
		armed: make(chan struct{}, 1), back: make(chan struct{}, 1), freed: make(chan struct{}),
	}
}

// announce tells the bus of instruments; those that it refuses are tried again by tick.
func (p *publisher) announce(list []*instrument) {
	for i, in := range list {
		if err := p.bus.Announce(in.symbol, in.channels); err != nil {
			p.silent = append(p.silent, list[i:]...)
			return
		}
	}
}

// trade numbers and queues t. It says whether t was taken: it is for the bar too when another
// feed publishes it.
func (p *publisher) trade(l *line, t *market.Trade) bool {
	if !p.active {
		l.passed = *t
		return l.skip()
	}
	if !p.room(l) {
		return false
	}
	t.Seq = l.seq + 1
	buf, err := codec.AppendTrade(p.start(l), t)
	if !p.took(l, buf, err, market.ChannelTrade) {
		return false
	}
	p.timed.took(l, t.Time)
	return true
}

func (p *publisher) quote(l *line, q *market.Quote) bool {
	if !p.active {
		return l.skip()
	}
	if !p.room(l) {
		return false
	}
	q.Seq = l.seq + 1
	buf, err := codec.AppendQuote(p.start(l), q)
	if !p.took(l, buf, err, market.ChannelQuote) {
		return false
	}
	p.timed.took(l, q.Time)
	return true
}

// bar never waits: it is also called by the goroutine that ends all waiting. While the bus
// is away no trades are taken, so that bars are few then.
func (p *publisher) bar(l *line, b *market.Bar) {
	if !p.active {
		l.skip()
		return
	}
	b.Seq = l.seq + 1
	buf, err := codec.AppendBar(p.start(l), b)
	p.took(l, buf, err, market.ChannelBar)
	if len(l.buf) > bodyBytesMax-recordBytesMax && !p.stuck {
		p.send(l)
	}
}

// room makes room for one more record. It waits while the source has to, and is false once
// nothing is wanted any more.
func (p *publisher) room(l *line) bool {
	for p.stuck || len(l.buf) > bodyBytesMax-recordBytesMax && !p.send(l) {
		if !p.wait() {
			return false
		}
	}
	return true
}

// wait lets others in until the bus takes what it refused; false when ctx ended first.
func (p *publisher) wait() bool {
	freed := p.freed
	p.mu.Unlock()
	defer p.mu.Lock()
	select {
	case <-freed:
		return true
	case <-p.ctx.Done():
		return false
	}
}

// lead begins a message with the gap over numbers that no tick has, while that has to be told.
func (l *line) lead(body []byte) []byte {
	if l.void > 0 {
		return codec.AppendGap(body, l.stream, l.seq-l.void+1, l.seq, codec.ReasonUpstream)
	}
	if l.unused == 0 || l.told && time.Now().After(l.tellUntil) {
		return body
	}
	return l.leadAlways(body)
}

// leadAlways is for a message that takes the place of an earlier one in the store, where a
// node may look after an hour's absence.
func (l *line) leadAlways(body []byte) []byte {
	if l.unused == 0 {
		return body
	}
	return codec.AppendGap(body, l.stream, 1, l.unused, codec.ReasonReset)
}

// start returns the line's buffer, ready for a record.
func (p *publisher) start(l *line) []byte {
	if l.n == 0 {
		l.buf = l.lead(l.buf[:0])
	}
	return l.buf
}

// took makes buf, which holds one record more, the line's.
func (p *publisher) took(l *line, buf []byte, err error, ch market.Channel) bool {
	if err != nil {
		p.stats.Refused++
		return false
	}
	l.tail = len(l.buf)
	l.buf = buf
	l.n++
	l.seq++
	p.stats.Events[ch]++
	p.traced.took(l)
	if !l.queued {
		l.queued = true
		p.queue = append(p.queue, l)
		if len(p.queue) == 1 && (p.base > 0 || ch == market.ChannelBar) { // the rest is sent at once
			signal(p.armed)
		}
	}
	return true
}

// flush ends a window: it publishes all that waits, and chooses the length of the next.
func (p *publisher) flush() {
	messages, ticks := 0, 0
	for i, l := range p.queue {
		n := l.n
		if !p.send(l) {
			p.queue = append(p.queue[:0], p.queue[i:]...)
			return
		}
		l.queued = false
		if n > 0 {
			messages++
			ticks += n
		}
	}
	clear(p.queue)
	p.queue = p.queue[:0]
	if p.base == 0 {
		return
	}

	perBase := messages * int(p.base) / int(p.window)
	if perBase > crowdedMessages && ticks < crowdedTicks*messages {
		p.window = min(p.window+p.base, windowsMax*p.base)
	} else {
		p.window = max(p.window-p.base, p.base)
	}
}

// sendAtOnce publishes what has just come where there is no window.
func (p *publisher) sendAtOnce() {
	if p.base == 0 {
		p.flush()
	}
}

// send publishes what waits in the line. False means that it still waits, and that the
// publisher is stuck; what a live source emitted never waits twice.
func (p *publisher) send(l *line) bool {
	if l.n == 0 {
		return true
	}
	if !p.live && (p.again.Load() || p.sentBytes > aheadBytesMax) {
		if !p.catchUp() {
			return false
		}
	}
	if p.lease != nil && !p.lease.Held() {
		p.takeBack(l)
		p.fell = true // the next tick stands down, even if it has the lease again
		return true
	}
	err := p.hand(l)
	p.note(err)
	switch {
	case err == nil:
		p.stats.Messages++
		p.stats.Bytes += int64(len(l.buf))
		p.keep(l)
		p.published(l, len(l.buf))
	case !p.live:
		p.again.Store(true)
		p.stuck = true
		return false
	default:
		p.stats.Lost += int64(l.n)
	}
	l.last = append(l.last[:0], l.buf[l.tail:]...)
	l.lastLost = err != nil
	l.buf, l.n, l.void = l.buf[:0], 0, 0
	return true
}

// published notes that the bus took a body of the line's.
func (p *publisher) published(l *line, bytes int) {
	l.told, l.fresh = true, true
	if l.stream.Channel == market.ChannelTrade {
		p.tradeBytes += int64(bytes) + storedOverhead
		l.mark = p.tradeBytes
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
