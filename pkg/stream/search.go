package stream

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// What a node does not have of a trade stream it looks for in the upstream's store: trades
// behind which a hole was found, and those before its own history that a session asks for.
// One search at a time serves all who wait for a stream.

const (
	// searchFor bounds how long newer trades are held back behind a hole. After a partition
	// of ten seconds a hundred busy streams take some three seconds on two cores.
	searchFor = 5 * time.Second
	// resumeFor bounds how long a session waits for what it missed: longer, since nobody
	// else waits for it.
	resumeFor = 15 * time.Second
	// searchers is how many searches run at once. More only queue up at the server.
	searchers = 4
	// searchAgain paces those that found too little, and deadlines.
	searchAgain = 100 * time.Millisecond
	// searchFirst is how far back a search looks at first, before it takes the whole
	// history's reach: most who ask were away for seconds.
	searchFirst = 15 * time.Second
	// searchMargin is what the clocks of node and server may differ by without a second look.
	searchMargin = 2 * time.Second

	// heldBytesMax bounds what one stream holds back.
	heldBytesMax = 4 << 20
	// historyTrades is how many trades a resume reaches back at the least, however old.
	historyTrades = 10_000
)

// search sees that the store is asked for what the tape lacks. Caller holds mu.
func (in *ingest) search(t *tape) {
	in.expecting[t] = struct{}{}
	if !t.searching {
		t.searching = true
		in.toSearch = append(in.toSearch, t)
	}
	select {
	case in.kickSearch <- struct{}{}:
	default:
	}
}

// hold keeps news back that came from behind a hole. Caller holds mu.
func (in *ingest) hold(t *tape, p past) {
	p.at = in.now
	t.held = append(t.held, p)
	t.heldBytes += p.bytes()
	if t.heldBytes > heldBytesMax {
		in.settle(t, finding{}, p.at)
		return
	}
	in.search(t)
}

// settle sends what was found and what was held back, in order. It ends before a hole of
// which the store may yet know more, unless what comes behind was held back at the time
// given or before: then it sends a gap. Caller holds mu, and flushes.
func (in *ingest) settle(t *tape, f finding, then int64) {
	held := t.held
	t.held, t.heldBytes = nil, 0
	news := int64(0)
	for _, p := range held {
		news -= int64(p.chunk.N)
	}
	for _, p := range join(f.list, held) {
		if p.chunk = p.chunk.From(t.last + 1); p.chunk == nil {
			continue
		}
		news += int64(p.chunk.N)
		hole := p.chunk.Begins() > max(t.last, p.reset)+1
		if len(t.held) == 0 && (!hole || p.at <= then || f.upTo(p.chunk.First-1)) {
			in.take(t, p)
			continue
		}
		t.held = append(t.held, p)
		t.heldBytes += p.bytes()
	}
	in.metrics.filled.Add(news)
}

// reaches says that the tape has all that came after the seq, or that there is no more of it
// to be had.
func (t *tape) reaches(after int64) bool {
	if after == fresh || after >= t.last || t.stream.Channel != market.ChannelTrade {
		return true
	}
	first := t.earliest()
	return first <= max(after, t.history.resetBefore())+1 || first <= t.bottom
}

// earliest is the first seq that the tape accounts for, or the next one.
func (t *tape) earliest() int64 {
	if p := t.history.first(); p != nil {
		return p.chunk.Begins()
	}
	return t.last + 1
}

// missing is the first seq that the tape should look for, 0 if there is none.
func (t *tape) missing() (from int64) {
	if len(t.held) > 0 {
		from = t.last + 1
	}
	for _, g := range t.waiting {
		if !t.reaches(g.after) && (from == 0 || g.after+1 < from) {
			from = g.after + 1
		}
	}
	return from
}

// searchLoop runs searches until ctx ends.
func (in *ingest) searchLoop(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, searchers)
	tick := time.NewTicker(searchAgain)
	defer tick.Stop()
	for ticking := true; ; {
		var free chan struct{} // nil while nothing is to be searched for
		due, expecting := in.searchDue()
		if due {
			free = slots
		}
		// It rings only while somebody waits: this and one like it were most of what a node
		// without subscribers took.
		if expecting && !ticking {
			tick.Reset(searchAgain)
		} else if !expecting {
			tick.Stop()
		}
		ticking = expecting
		select {
		case <-ctx.Done():
			return
		case free <- struct{}{}:
			t := in.nextSearch()
			wg.Go(func() {
				in.searchOnce(ctx, t)
				<-slots
			})
		case <-in.kickSearch:
		case <-tick.C:
			in.expect()
		}
	}
}

// searchDue says whether there is a stream to search for, and one that is waited for.
func (in *ingest) searchDue() (due, expecting bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.toSearch) > 0, len(in.expecting) > 0
}

// nextSearch is for the one goroutine that takes from the list.
func (in *ingest) nextSearch() *tape {
	in.mu.Lock()
	defer in.mu.Unlock()
	t := in.toSearch[0]
	in.toSearch[0] = nil
	in.toSearch = in.toSearch[1:]
	return t
}

// expect tells the time, ends the waits that have been long enough, and searches again for
// the rest.
func (in *ingest) expect() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.now = in.clock.now()
	overdue := in.now - int64(searchFor)
	for t := range in.expecting {
		if len(t.held) > 0 && t.held[0].at <= overdue {
			in.settle(t, finding{}, overdue)
		}
		in.serve(t)
		if len(t.held) > 0 || t.state == tapeLive && len(t.waiting) > 0 {
			in.search(t)
		} else {
			delete(in.expecting, t)
		}
	}
	in.flush()
}

func (in *ingest) searchOnce(ctx context.Context, t *tape) {
	in.mu.Lock()
	in.now = in.clock.now()
	from, last := t.missing(), t.last
	window := searchFirst
	if p := t.history.newest(); p != nil && from == last+1 {
		window = time.Duration(in.now-p.at) + searchMargin
	}
	in.mu.Unlock()
	var f finding
	var err error
	if from > 0 {
		in.metrics.searches.Add(1)
		ctx, cancel := context.WithTimeout(ctx, searchFor)
		f, err = in.read(ctx, t, from, last, window)
		cancel()
		if now, _ := in.up.Connected(); err != nil && now {
			in.unfound.Do(func() {
				in.log.Warn("stored trades not read, trying again", zap.Stringer("stream", t.stream), zap.Error(err))
			})
		}
	}

	in.mu.Lock()
	defer in.mu.Unlock()
	t.searching = false
	if from == 0 || err != nil || t.state != tapeLive {
		return
	}
	if len(t.held) > 0 {
		in.settle(t, f, -1)
	}
	if f.upTo(t.earliest() - 1) {
		if f.whole {
			t.bottom = max(t.bottom, f.bottom(last+1))
		}
		in.recall(t, f.list)
	}
	in.serve(t)
	in.flush()
}

// A finding is what a search found.
type finding struct {
	list   []past
	whole  bool // there is nothing before it that would be served
	absent bool // nothing is stored at all
}

// bottom is the first seq that the store has, or next if it has none.
func (f *finding) bottom(next int64) int64 {
	if len(f.list) > 0 {
		return f.list[0].chunk.First
	}
	return next
}

// upTo says that the store had all it will ever have up to the seq. A message reaches a node
// and the store in no promised order, but the store takes each stream's in theirs.
func (f *finding) upTo(seq int64) bool {
	return f.absent || len(f.list) > 0 && f.list[len(f.list)-1].chunk.Last >= seq
}

// read asks the store for the trades from seq on, over longer and longer times until it has
// them: the server's work grows with the time. taken is the last that the tape has taken.
func (in *ingest) read(ctx context.Context, t *tape, from, taken int64, window time.Duration) (f finding, err error) {
	reach := in.limits.age
	recent, n := int64(0), 0
	for _, back := range []time.Duration{min(window, reach), reach} {
		if f, err = in.readSince(ctx, t, taken, time.Now().Add(-back)); err != nil || f.absent {
			return f, err
		}
		if len(f.list) > 0 && f.list[0].chunk.Begins() <= from {
			return f, nil
		}
	}
	if len(f.list) > 0 {
		recent = f.list[0].chunk.First
		n = int(f.list[len(f.list)-1].chunk.Last - recent)
	}
	if n < historyTrades {
		if f, err = in.readSince(ctx, t, taken, time.Time{}); err != nil {
			return f, err
		}
		i := len(f.list)
		for n = 0; i > 0 && (n < historyTrades || recent > 0 && f.list[i-1].chunk.Last >= recent); i-- {
			n += f.list[i-1].chunk.N
		}
		f.list = f.list[i:]
	}
	f.whole = true
	return f, nil
}

func (in *ingest) readSince(ctx context.Context, t *tape, taken int64, since time.Time) (f finding, err error) {
	last := int64(0)
	f.absent, err = in.up.History(ctx, t.stream, since, func(body []byte) bool {
		c, reset, err := codec.ParseChunk(t.stream, body)
		if err != nil {
			in.bad(t.subject, err)
			return true
		}
		c.Stream = uint32(t.id)
		if c = c.From(last + 1); c != nil { // nil where a feed published again what was stored
			last = c.Last
			f.list = append(f.list, past{chunk: c, reset: reset})
		}
		return true
	})
	f.list = compact(f.list, taken)
	return f, err
}
