package stream

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/subscribe"
)

// shardsMax is the width of tape.wanted.
const shardsMax = 64

// A tape is one stream as this node follows it. The first group never changes; the rest is
// the ingest's, under its lock.
type tape struct {
	id      subscribe.ID
	stream  market.Stream
	subject string

	state   tapeState
	wanted  uint64       // one bit per shard in which a session named the stream
	last    int64        // seq of the newest tick seen; 0 = none yet
	tail    *codec.Chunk // ends with that tick
	waiting []grant      // sessions that wait for the last tick
	named   bool         // subscribed upstream by itself
	idleAt  int64        // when the last shard let go
	listed  bool         // a feed announced the stream or published on it
}

type tapeState uint8

const (
	tapeIdle     tapeState = iota // not subscribed upstream; last may be out of date
	tapeFetching                  // subscribed; the stored last tick is being asked for
	tapeLive                      // subscribed, and last is true
)

// A grant lets a session have a stream from a known seq on. It is carried out by the
// session's shard, in order with the chunks before and after it.
type grant struct {
	shard int
	do    func(t *tape, last int64, tail *codec.Chunk)
	all   *allGrant // when the session waits for a whole channel
}

// An allGrant waits until every stream of a channel is live.
type allGrant struct {
	shard   int
	missing int
	do      func(tapes []tail)
}

// A tail is a stream with its newest tick at one instant.
type tail struct {
	tape  *tape
	last  int64
	chunk *codec.Chunk
}

// An item is one entry of a shard's inbox: ticks or a gap of a stream, or something to do.
type item struct {
	tape  *tape
	chunk *codec.Chunk
	gap   *gap
	do    func()
}

type gap struct {
	from, to int64
	reason   codec.Reason
}

// ingest follows streams upstream: it subscribes to what some session wants and to nothing
// else, and gives every shard the same ticks in the same order.
type ingest struct {
	up    Upstream
	log   *zap.Logger
	clock clock

	linger int64
	post   func(shard int, items []item) // hands over; the slice may be reused

	mu        sync.Mutex
	symbols   map[string]*[market.Channels]*tape
	bySubject map[string]*tape
	byID      []*tape
	wildcards [market.Channels]uint64 // one bit per shard in which a session has one
	idleAll   [market.Channels]int64  // when the last such shard let go; 0 = subscribed and wanted, or not subscribed
	liveAll   [market.Channels]bool   // the channel is subscribed as a whole
	sinceAll  [market.Channels]int64  // since when
	endingAll [market.Channels]int64  // since when it is subscribed beside its streams, to be given up; 0 = it is not
	known     int                     // symbols that a feed announced or published for
	out       [shardsMax][]item       // gathered for each shard until Idle
	toFetch   []*tape
	toCheck   bool

	kick    chan struct{} // wakes the fetcher
	metrics ingestMetrics
}

// ingestMetrics are read by other goroutines at any time.
type ingestMetrics struct {
	messages, ticks, bad, stale, lost, resets atomic.Int64
	gaps                                      [market.Channels]atomic.Int64
}

func newIngest(up Upstream, log *zap.Logger, c clock, linger time.Duration, post func(int, []item)) *ingest {
	return &ingest{
		up: up, log: log, clock: c, linger: int64(linger), post: post,
		symbols:   make(map[string]*[market.Channels]*tape),
		bySubject: make(map[string]*tape),
		kick:      make(chan struct{}, 1),
	}
}

// run follows the upstream until ctx ends.
func (in *ingest) run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { in.fetchLoop(ctx) })
	wg.Go(func() { in.tidyLoop(ctx) })
	err := in.up.Run(ctx, in.message, in.idle, in.announced, in.lostSome)
	wg.Wait()
	return err
}

// tapeOf returns the stream's tape, making it at its first mention. Caller holds mu.
func (in *ingest) tapeOf(s market.Stream) *tape {
	row := in.symbols[s.Symbol]
	if row == nil {
		row = new([market.Channels]*tape)
		n := len(in.symbols)
		in.symbols[s.Symbol] = row
		for _, ch := range market.AllChannels() {
			of := market.Stream{Channel: ch, Symbol: s.Symbol}
			t := &tape{id: subscribe.MakeID(n, ch), stream: of, subject: in.up.Subject(of)}
			row[ch] = t
			in.bySubject[t.subject] = t
			for len(in.byID) <= int(t.id) {
				in.byID = append(in.byID, nil)
			}
			in.byID[t.id] = t
		}
		in.known++
	}
	return row[s.Channel]
}

// announced is the upstream's word that a feed publishes for the symbol.
func (in *ingest) announced(symbol string, channels []market.Channel) {
	if market.CheckSymbol(symbol) != nil {
		in.metrics.bad.Add(1)
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, ch := range channels {
		in.tapeOf(market.Stream{Channel: ch, Symbol: symbol}).listed = true
	}
}

// message takes one upstream message.
func (in *ingest) message(subject string, body []byte) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.metrics.messages.Add(1)
	t := in.bySubject[subject]
	if t == nil {
		s, err := in.up.ParseSubject(subject)
		if err != nil || market.CheckSymbol(s.Symbol) != nil {
			in.bad(subject, err)
			return
		}
		t = in.tapeOf(s)
	}
	c, reset, err := codec.ParseChunk(t.stream, body)
	if err != nil {
		in.bad(subject, err)
		return
	}
	t.listed = true
	switch {
	case t.state == tapeIdle && in.liveAll[t.stream.Channel]:
		t.state = tapeLive // new under the wildcard: it begins here
	case t.state == tapeIdle:
		return // a stray after Unsubscribe
	}
	in.accept(t, c, reset)
}

func (in *ingest) bad(subject string, err error) {
	if in.metrics.bad.Add(1)%1000 == 1 {
		in.log.Warn("upstream message refused", zap.String("subject", subject), zap.Error(err))
	}
}

// accept takes the ticks of c that are news, after a gap if numbers are missing between
// them and the last. Numbers up to reset were never used. Caller holds mu.
func (in *ingest) accept(t *tape, c *codec.Chunk, reset int64) {
	if c.Last <= t.last {
		in.metrics.stale.Add(int64(c.N))
		return
	}
	if c.First <= t.last {
		c = c.From(t.last + 1)
	}
	c.Stream = uint32(t.id)
	to := in.interested(t)
	if t.last > 0 && t.state == tapeLive {
		if reset > t.last {
			in.metrics.resets.Add(1)
			in.missed(t, to, min(reset, c.First-1), codec.ReasonReset)
		}
		if c.First > t.last+1 {
			in.metrics.gaps[t.stream.Channel].Add(1)
			in.metrics.lost.Add(c.First - 1 - t.last)
			in.missed(t, to, c.First-1, codec.ReasonUpstream)
		}
	}
	t.last, t.tail = c.Last, c
	in.metrics.ticks.Add(int64(c.N))
	if t.state == tapeLive {
		in.send(to, item{tape: t, chunk: c})
	}
}

// missed tells the shards that the numbers behind the last one, through the given one, will
// not come.
func (in *ingest) missed(t *tape, shards uint64, through int64, r codec.Reason) {
	in.send(shards, item{tape: t, gap: &gap{from: t.last + 1, to: through, reason: r}})
	t.last = through
}

func (in *ingest) interested(t *tape) uint64 { return t.wanted | in.wildcards[t.stream.Channel] }

func (in *ingest) send(shards uint64, it item) {
	for i := 0; shards != 0; i, shards = i+1, shards>>1 {
		if shards&1 != 0 {
			in.out[i] = append(in.out[i], it)
		}
	}
}

// idle hands what was gathered to the shards.
func (in *ingest) idle() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.flush()
}

func (in *ingest) flush() {
	for i := range in.out {
		if len(in.out[i]) > 0 {
			in.post(i, in.out[i])
			clear(in.out[i])
			in.out[i] = in.out[i][:0]
		}
	}
}

// lookup finds the symbol's streams, or reports that no feed ever named it.
func (in *ingest) lookup(symbol string) (*[market.Channels]*tape, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	row, ok := in.symbols[symbol]
	return row, ok
}

// tapeByID is the inverse of tape.id.
func (in *ingest) tapeByID(id subscribe.ID) *tape {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.byID[id]
}

// anyKnown says whether a feed has named any symbol yet.
func (in *ingest) anyKnown() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.known > 0
}

// listing returns the symbols with the channels that a feed announced or published, by name.
func (in *ingest) listing() []Listed {
	in.mu.Lock()
	defer in.mu.Unlock()
	all := make([]Listed, 0, len(in.symbols))
	for symbol, row := range in.symbols {
		l := Listed{Symbol: symbol}
		for _, t := range row {
			if t.listed {
				l.Channels = append(l.Channels, t.stream.Channel.String())
			}
		}
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b Listed) int {
		if a.Symbol < b.Symbol {
			return -1
		}
		return 1
	})
	return all
}

// want follows the stream for a session of the shard. do is called in the shard, in order
// with the stream's ticks, once the last tick is known.
func (in *ingest) want(t *tape, shard int, do func(t *tape, last int64, tail *codec.Chunk)) {
	in.mu.Lock()
	defer in.mu.Unlock()
	t.wanted |= 1 << shard
	in.follow(t)
	g := grant{shard: shard, do: do}
	if t.state == tapeLive {
		in.grant(t, g)
		in.flush()
		return
	}
	t.waiting = append(t.waiting, g)
}

// follow makes an idle tape live by way of a fetch. Caller holds mu.
func (in *ingest) follow(t *tape) {
	if t.state != tapeIdle {
		return
	}
	if !in.liveAll[t.stream.Channel] {
		in.subscribe(t)
	}
	t.state, t.last = tapeFetching, 0
	in.toFetch = append(in.toFetch, t)
	in.wake()
}

func (in *ingest) wake() {
	select {
	case in.kick <- struct{}{}:
	default:
	}
}

// subscribe and unsubscribe say that the stream is wanted upstream by itself.
func (in *ingest) subscribe(t *tape) {
	if !t.named {
		t.named = true
		in.try(in.up.Subscribe(t.stream))
	}
}

func (in *ingest) unsubscribe(t *tape) {
	if t.named {
		t.named = false
		in.up.Unsubscribe(t.stream)
	}
}

// try reports a subscription that the upstream would not take. None is known but one made
// while it closes, when nothing is owed any more.
func (in *ingest) try(err error) {
	if err != nil {
		in.log.Warn("upstream subscription", zap.Error(err))
	}
}

// grant sends the session its stream. Caller holds mu, and flushes.
func (in *ingest) grant(t *tape, g grant) {
	last, tail := t.last, t.tail
	in.out[g.shard] = append(in.out[g.shard], item{do: func() { g.do(t, last, tail) }})
}

// release says that no session of the shard names the stream any more.
func (in *ingest) release(t *tape, shard int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	t.wanted &^= 1 << shard
	t.idleAt = in.clock.now()
}

// wantAll follows every stream of the channel for a session of the shard, those of symbols
// yet unknown too. do is called in the shard once the last tick of each known stream is known.
func (in *ingest) wantAll(ch market.Channel, shard int, do func(tapes []tail)) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.wildcards[ch] |= 1 << shard
	in.idleAll[ch] = 0
	if !in.liveAll[ch] {
		in.try(in.up.SubscribeAll(ch))
		in.liveAll[ch] = true
		in.sinceAll[ch] = in.clock.now()
	}
	all := &allGrant{shard: shard, do: do}
	for _, t := range in.byID {
		if t == nil || t.stream.Channel != ch || !t.listed {
			continue
		}
		in.follow(t)
		if t.state == tapeFetching {
			all.missing++
			t.waiting = append(t.waiting, grant{all: all})
		}
	}
	if all.missing == 0 {
		in.grantAll(ch, all)
		in.flush()
	}
}

// grantAll sends the session its channel. Caller holds mu, and flushes.
func (in *ingest) grantAll(ch market.Channel, all *allGrant) {
	var tapes []tail
	for _, t := range in.byID {
		if t != nil && t.stream.Channel == ch && t.listed {
			tapes = append(tapes, tail{tape: t, last: t.last, chunk: t.tail})
		}
	}
	in.out[all.shard] = append(in.out[all.shard], item{do: func() { all.do(tapes) }})
}

// releaseAll says that no session of the shard has a wildcard on the channel any more.
func (in *ingest) releaseAll(ch market.Channel, shard int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.wildcards[ch] &^= 1 << shard
	in.idleAll[ch] = in.clock.now()
}

// live makes a fetched tape live and serves who waited. found is the stored last tick, or
// nil. Caller holds mu, and flushes.
func (in *ingest) live(t *tape, found *codec.Chunk) {
	if t.state != tapeFetching {
		return
	}
	switch {
	case found != nil && found.Last > t.last:
		found.Stream = uint32(t.id)
		t.last, t.tail = found.Last, found
		t.listed = true
	case t.last == 0 && t.tail != nil:
		t.last = t.tail.Last // from an earlier time; newer numbers will show as a gap
	}
	t.state = tapeLive
	for _, g := range t.waiting {
		if g.all == nil {
			in.grant(t, g)
			continue
		}
		if g.all.missing--; g.all.missing == 0 {
			in.grantAll(t.stream.Channel, g.all)
		}
	}
	t.waiting = nil
}

// snapshot returns the newest tick of each stream asked for that has one: from memory where
// the stream is followed, else from the upstream's store.
func (in *ingest) snapshot(ctx context.Context, tapes []*tape) (map[*tape]*codec.Chunk, error) {
	found := make(map[*tape]*codec.Chunk, len(tapes))
	ask := make(map[market.Stream]*tape)
	in.mu.Lock()
	for _, t := range tapes {
		if t.state == tapeLive && t.tail != nil {
			found[t] = t.tail
		} else {
			ask[t.stream] = t
		}
	}
	in.mu.Unlock()
	if len(ask) == 0 {
		return found, nil
	}
	err := in.up.Last(ctx, slices.Collect(maps.Keys(ask)), func(s market.Stream, body []byte) {
		if c, _, err := codec.ParseChunk(s, body); err == nil && ask[s] != nil {
			found[ask[s]] = c
		}
	})
	return found, err
}
