package stream

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/subscribe"
)

// ingest follows streams upstream: it subscribes to what some session wants and to nothing
// else, and gives every shard the same ticks in the same order.
type ingest struct {
	up    Upstream
	log   *zap.Logger
	clock clock

	n      int           // numbers the node's ingests; 0 is its own, the others are late
	ids    *atomic.Int64 // numbers the symbols of all of them
	linger int64
	limits historyLimits
	tracer TraceFunc                     // nil follows nothing
	post   func(shard int, items []item) // hands over; the slice may be reused
	full   func() <-chan struct{}        // closed when a shard that is behind has room again; nil where all have
	ended  <-chan struct{}               // run is to end

	incoming []incoming // the upstream's Run alone touches it

	mu        sync.Mutex
	now       int64 // the clock, as of the last message, or a second ago: a look at it costs a tick's share
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
	toSearch  []*tape
	expecting map[*tape]struct{} // hold trades back, or have sessions that wait for what they missed
	kept      int                // bytes of all histories
	horizon   int64              // how long ticks stay in them, at present
	at, wall  int64              // when the messages that are being taken came: node clock and Unix ns; at is 0 between
	trace     *trace             // of the message that is being taken, until its chunk is sent
	sum       ingestCounts       // of what the metrics have not been told yet

	kick       chan struct{} // wakes the fetcher
	kickSearch chan struct{} // wakes the searcher
	metrics    ingestMetrics
	hops       hops

	unread, unfound rate.Sometimes // lines of the log
}

// ingestCounts go to the metrics once for all messages of a read. An atomic addition waits until
// all that was written before it is out of the core, and each message writes to a stream's memory
// that the core has not seen for a while.
type ingestCounts struct {
	messages, ticks int64
	lag             tally
}

// ingestMetrics are read by other goroutines at any time.
type ingestMetrics struct {
	messages, ticks, bad, stale, lost, resets atomic.Int64
	held                                      atomic.Int64 // times that the upstream waited for a shard
	filled, searches, kept                    atomic.Int64
	gaps                                      [market.Channels]atomic.Int64
	lag                                       histogram
}

func newIngest(up Upstream, cfg *Config, c clock, post func(int, []item)) *ingest {
	return &ingest{
		up: up, log: cfg.Log, tracer: cfg.Trace, clock: c, linger: int64(cfg.Linger), post: post, ids: new(atomic.Int64),
		full:       func() <-chan struct{} { return nil },
		limits:     historyLimits{cfg.History, cfg.HistoryBytes},
		horizon:    int64(cfg.History),
		symbols:    make(map[string]*[market.Channels]*tape),
		bySubject:  make(map[string]*tape),
		expecting:  make(map[*tape]struct{}),
		kick:       make(chan struct{}, 1),
		kickSearch: make(chan struct{}, 1),
		unread:     rate.Sometimes{First: 1, Interval: faultEvery},
		unfound:    rate.Sometimes{First: 1, Interval: faultEvery},
	}
}

// run follows the upstream until ctx ends.
func (in *ingest) run(ctx context.Context) error {
	var wg sync.WaitGroup
	in.ended = ctx.Done()
	wg.Go(func() { in.fetchLoop(ctx) })
	wg.Go(func() { in.searchLoop(ctx) })
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
		n := int(in.ids.Add(1) - 1)
		in.symbols[s.Symbol] = row
		for _, ch := range market.AllChannels() {
			of := market.Stream{Channel: ch, Symbol: s.Symbol}
			t := &tape{id: subscribe.MakeID(n, ch), stream: of, parser: codec.NewParser(of), subject: in.up.Subject(of), view: in.n}
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

func (in *ingest) interested(t *tape) uint64 { return t.wanted | in.wildcards[t.stream.Channel] }

func (in *ingest) send(shards uint64, it item) {
	for i := 0; shards != 0; i, shards = i+1, shards>>1 {
		if shards&1 != 0 {
			in.out[i] = append(in.out[i], it)
		}
	}
}

// idle takes what came and hands it to the shards, and keeps the upstream waiting while one of them
// is far behind. What it cannot hold meanwhile it counts as lost, and the numbers show it. The
// wait is without the lock, which the shard may need to get on.
func (in *ingest) idle() {
	in.mu.Lock()
	in.takeIncoming()
	in.flush()
	in.mu.Unlock()
	for room := in.full(); room != nil; room = in.full() {
		in.metrics.held.Add(1)
		select {
		case <-room:
		case <-in.ended:
			return
		}
	}
}

// flush hands over and tells the metrics. Caller holds mu.
func (in *ingest) flush() {
	in.metrics.messages.Add(in.sum.messages)
	in.metrics.ticks.Add(in.sum.ticks)
	in.metrics.lag.take(&in.sum.lag)
	in.sum.messages, in.sum.ticks = 0, 0
	in.metrics.kept.Store(int64(in.kept))
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

// anyKnown says whether a feed has named any symbol yet, and whether those named before this node
// began are among the known: else one of them would be told to be unknown, or a wildcard that goes
// on after the seqs of another node would lose it.
func (in *ingest) anyKnown() bool {
	if !in.up.Known() {
		return false
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.known > 0
}

// listing returns the symbols with the channels that a feed announced or published, by name; none
// while subscribers are told that none is known.
func (in *ingest) listing() []Listed {
	if !in.up.Known() {
		return []Listed{}
	}
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
	last := in.up.Last
	if late, ok := in.up.(*delayed); ok {
		last = late.Peek
	}
	err := last(ctx, slices.Collect(maps.Keys(ask)), func(s market.Stream, body []byte) {
		if c, _, err := codec.ParseChunk(s, body); err == nil && ask[s] != nil {
			found[ask[s]] = c
		}
	})
	return found, err
}
