package stream

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// Whoever has a delayed token sees the market as it was. So that this holds for everything that
// a session can ask for, it is done in one place, in front of the ingest: a delayed is an
// Upstream that is some time behind the true one, and has an ingest of its own, with its own
// last values and its own history. Sessions subscribe there, and nothing newer can reach them.
//
// What comes live is held back in a line. What comes out of the store is as old as its ticks say
// it is, or counts as new where their times cannot be believed (a recording's, for one): then
// it takes its place in the line, or is left out.
type delayed struct {
	*fan
	by    int64 // ns
	clock clock
	in    *ingest
	most  int // bytes of the line

	mu    sync.Mutex
	named map[string]struct{} // subjects that the ingest wants
	all   [market.Channels]bool
	line  []held         // by due
	lined map[string]int // by subject: entries in the line
	bytes int
	lost  int // messages that there was no room for
	wake  chan struct{}
}

// held is a message, or the word that some were lost, until it is due.
type held struct {
	due     int64 // node's clock
	subject string
	body    []byte
	lost    string
}

// heldOverhead is about what an entry takes beside its body.
const heldOverhead = 100

func (h *held) bytes() int { return len(h.body) + heldOverhead }

func newDelayed(f *fan, by time.Duration, c clock, most int) *delayed {
	return &delayed{fan: f, by: int64(by), clock: c, most: most, named: make(map[string]struct{}), lined: make(map[string]int), wake: make(chan struct{}, 1)}
}

// Run delivers what is due until ctx ends. The announcements go past it.
func (d *delayed) Run(ctx context.Context,
	message func(subject string, body []byte, header map[string][]string), idle func(),
	_ func(string, []market.Channel), lost func(reason string),
) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-d.wake:
		}
		due, next := d.due(d.clock.now())
		for i := range due {
			if h := &due[i]; h.lost != "" {
				lost(h.lost)
			} else {
				message(h.subject, h.body, nil) // a trace is of those who see it now
			}
		}
		if len(due) > 0 {
			idle()
			clear(due)
		}
		if next > 0 {
			timer.Reset(d.clock.until(next))
		}
	}
}

// due takes out of the line what is due, and says when the next entry is, 0 for none.
func (d *delayed) due(now int64) (due []held, next int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for n < len(d.line) && d.line[n].due <= now {
		d.left(&d.line[n])
		n++
	}
	due, d.line = d.line[:n:n], d.line[n:]
	if len(d.line) > 0 {
		next = d.line[0].due
	}
	return due, next
}

// tap holds a live message back, if the ingest wants it.
func (d *delayed) tap(subject string, body []byte) {
	if d.wants(subject) {
		d.put(held{due: d.clock.now() + d.by, subject: subject, body: body})
	}
}

func (d *delayed) wants(subject string) bool {
	d.mu.Lock()
	_, named := d.named[subject]
	all := d.all
	d.mu.Unlock()
	if named || all == [market.Channels]bool{} {
		return named
	}
	s, err := d.ParseSubject(subject)
	return err == nil && all[s.Channel]
}

// put places an entry by its time. When the line is full the oldest entries are lost, and
// their numbers show it, as those of messages lost upstream do.
func (d *delayed) put(h held) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := len(d.line)
	for i > 0 && d.line[i-1].due > h.due { // nearly always the newest
		i--
	}
	d.line = slices.Insert(d.line, i, h)
	d.lined[h.subject]++
	for d.bytes += h.bytes(); d.bytes > d.most; d.line = d.line[1:] {
		d.left(&d.line[0])
		d.line[0] = held{}
		d.lost++
	}
	if i == 0 {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

// left takes an entry out of the counts.
func (d *delayed) left(h *held) {
	d.bytes -= h.bytes()
	discount(d.lined, h.subject)
}

// Last yields the newest messages that are old enough. Newer ones take their places in the
// line: they came before the ingest asked, and it would not get them otherwise. Where the line
// has some of a stream already, the newest is behind them, or on its way.
func (d *delayed) Last(ctx context.Context, streams []market.Stream, yield func(s market.Stream, body []byte)) error {
	var young []market.Stream
	err := d.fan.Last(ctx, streams, func(s market.Stream, body []byte) {
		switch due := d.dueAt(s, body); {
		case due <= d.clock.now():
			yield(s, body)
		case s.Channel == market.ChannelTrade:
			young = append(young, s)
		default:
			d.lineUp(held{due: due, subject: d.Subject(s), body: body})
		}
	})
	for _, s := range young {
		if err == nil {
			err = d.lastTrades(ctx, s, yield)
		}
	}
	return err
}

// lastTrades is Last for trades of which the newest is too young: the one before it that is
// not may be many messages back, and none between may be passed over.
func (d *delayed) lastTrades(ctx context.Context, s market.Stream, yield func(s market.Stream, body []byte)) error {
	var old []byte
	var young []held
	for _, since := range []time.Time{time.Now().Add(-time.Duration(d.by) - searchFirst), {}} {
		young = young[:0]
		_, err := d.fan.History(ctx, s, since, func(body []byte) bool {
			if due := d.dueAt(s, body); due <= d.clock.now() {
				old = body
			} else {
				young = append(young, held{due: due, subject: d.Subject(s), body: body})
			}
			return true
		})
		if err != nil {
			return err
		}
		if old != nil {
			yield(s, old)
			break
		}
	}
	d.lineUp(young...)
	return nil
}

// lineUp gives stored messages of one stream their places, unless the line has some of it.
func (d *delayed) lineUp(stored ...held) {
	if len(stored) == 0 || d.has(stored[0].subject) {
		return
	}
	for _, h := range stored {
		d.put(h)
	}
}

// History yields what is old enough: nothing behind the first message that is not.
func (d *delayed) History(ctx context.Context, s market.Stream, since time.Time, yield func(body []byte) bool) (absent bool, err error) {
	if !since.IsZero() {
		since = since.Add(-time.Duration(d.by))
	}
	return d.fan.History(ctx, s, since, func(body []byte) bool {
		return d.dueAt(s, body) <= d.clock.now() && yield(body)
	})
}

// Peek is Last for those who follow nothing.
func (d *delayed) Peek(ctx context.Context, streams []market.Stream, yield func(s market.Stream, body []byte)) error {
	return d.fan.Last(ctx, streams, func(s market.Stream, body []byte) {
		if d.dueAt(s, body) <= d.clock.now() {
			yield(s, body)
		}
	})
}

func (d *delayed) has(subject string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lined[subject] > 0
}

const (
	// believedAge is how old a tick may say it is. Beyond that its time is not the market's.
	believedAge = 24 * time.Hour
	// underWay is how long a message that is in the store may take to come live as well. One
	// that is younger goes behind those.
	underWay = 2 * time.Second
)

// dueAt is when a message out of the store may be seen.
func (d *delayed) dueAt(s market.Stream, body []byte) int64 {
	now, wall := d.clock.now(), time.Now()
	age := time.Duration(0)
	if c, _, err := codec.ParseChunk(s, body); err == nil {
		age = wall.Sub(time.Unix(0, newest(c)))
	}
	if age < underWay || age > believedAge {
		return now + d.by + int64(underWay)/4
	}
	return now - int64(age) + d.by
}

// newest is the time of the chunk's last tick, and for a bar its end: what is in it is no
// younger.
func newest(c *codec.Chunk) int64 {
	batch := append([]byte{0xdc, 0, 1}, c.LastRecord()...)
	events, err := codec.DecodeBatch(codec.MsgPack, batch)
	if err != nil || len(events) != 1 {
		return 0
	}
	switch ev := events[0].(type) {
	case market.Trade:
		return ev.Time
	case market.Quote:
		return ev.Time
	case market.Bar:
		return ev.Start + ev.Interval*int64(time.Second)
	}
	return 0
}

// Subscribe and the other three note what is to be held back.
func (d *delayed) Subscribe(s market.Stream) error {
	d.mu.Lock()
	d.named[d.Subject(s)] = struct{}{}
	d.mu.Unlock()
	return d.fan.Subscribe(s)
}

// Unsubscribe leaves what waits in the line, where the ingest passes it over.
func (d *delayed) Unsubscribe(s market.Stream) {
	d.mu.Lock()
	delete(d.named, d.Subject(s))
	d.mu.Unlock()
	d.fan.Unsubscribe(s)
}

// SubscribeAll asks for a channel.
func (d *delayed) SubscribeAll(ch market.Channel) error {
	d.mu.Lock()
	d.all[ch] = true
	d.mu.Unlock()
	return d.fan.SubscribeAll(ch)
}

// UnsubscribeAll ends SubscribeAll.
func (d *delayed) UnsubscribeAll(ch market.Channel) {
	d.mu.Lock()
	d.all[ch] = false
	d.mu.Unlock()
	d.fan.UnsubscribeAll(ch)
}
