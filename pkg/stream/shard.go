package stream

import (
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
)

// option is how a session wants one stream.
type option struct {
	policy     backpressure.Policy
	intervalMS uint16
}

// A shard owns a fixed set of sessions. Everything under "turn" is touched only inside turn;
// other goroutines speak to it through the inbox.
type shard struct {
	n      int
	node   string
	gone   func() // counts a connection out
	cfg    *Config
	clock  clock
	log    *zap.Logger
	viewAt func(delay time.Duration) (*ingest, error) // the node's
	inbox  inbox
	counts shardCounts

	// turn
	now      int64   // the node's clock, read once a turn
	wall     int64   // Unix ns of the same instant
	views    []*view // by ingest.n; the first is there from the start
	sessions []*session
	groups   [groupsMax]group
	wantedBy []uint8 // by subscribe.ID: a bit for each group in which some session named it, or did
	emptying bool    // the node drains or stops: who opens now is sent away
	flushes  uint64
	kinds    map[uint64]*kind
	message  message        // the one that is being sent, unless it is a kind's
	chunks   []*codec.Chunk // that it is made of
	framer   framer
	timers   timers
	rec      []byte // single records are built here
	sum      turnCounts

	laden       []*session // hold memory from one turn to the next
	relieved    int64      // when they were last looked at
	held        int        // by all of them then
	grown       int        // by how much that has become more, at the most
	memory      int        // that they may hold together
	burdens     []burden   // of theirs, while they are compared
	behindBytes int        // of requests that wait behind an auth

	cutsTold   pace // by the log
	cutsUntold int  // since the last that it tells
}

func newShard(n int, cfg *Config, c clock) *shard {
	sh := &shard{
		n: n, node: cfg.Name, cfg: cfg, clock: c, log: cfg.Log,
		inbox:  inbox{clock: c},
		kinds:  make(map[uint64]*kind),
		memory: cfg.NodePendingBytes / cfg.Shards,
	}
	for i := range sh.groups {
		g := &sh.groups[i]
		g.sh, g.n, g.begun = sh, i, make(map[begin]int64)
	}
	return sh
}

// An inbox takes items from any goroutine and gives them to the shard in order.
type inbox struct {
	mu    sync.Mutex
	items []item
	spare []item
	woken bool // since the last take
	clock clock
	due   int64         // when ticks are worth a turn; a little later it comes whatever has come. 0 = at once
	bytes int           // what the ticks among items weigh
	room  chan struct{} // closed when they are taken; nil unless somebody waits
	ended bool          // nobody takes any more
	wake  func()        // an engine's: has the shard take a turn soon
}

// inboxBytesMax is from how much on a shard that is behind keeps the ingests waiting: a fifth
// of a second at half a million ticks a second.
const inboxBytesMax = 8 << 20

// full returns what is closed when there is room for ticks again; nil where there is.
func (b *inbox) full() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes < inboxBytesMax || b.ended {
		return nil
	}
	if b.room == nil {
		b.room = make(chan struct{})
	}
	return b.room
}

// makeRoom says that nothing waits any more. Caller holds mu.
func (b *inbox) makeRoom() {
	b.bytes = 0
	if b.room != nil {
		close(b.room)
		b.room = nil
	}
}

// end is for a shard that takes no more turns.
func (b *inbox) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended, b.items = true, nil
	b.makeRoom()
}

// put wakes the shard, but for ticks that a batching window holds back anyway: a turn that only
// finds this out does nothing for anybody.
func (b *inbox) put(items ...item) {
	b.mu.Lock()
	if b.ended {
		b.mu.Unlock()
		return
	}
	b.items = append(b.items, items...)
	for i := range items {
		b.bytes += items[i].bytes()
	}
	wake := !b.woken && (b.due == 0 || slices.ContainsFunc(items, isCommand) || b.clock.now() >= b.due)
	b.woken = b.woken || wake
	b.mu.Unlock()
	if wake {
		b.wake()
	}
}

func isCommand(it item) bool { return it.do != nil }

// sleepUntil says that a turn comes soon after the end of a batching window, which is then.
func (b *inbox) sleepUntil(due int64) {
	b.mu.Lock()
	b.due = due
	b.mu.Unlock()
}

// take returns what waits; give hands the slice back for reuse.
func (b *inbox) take() []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	items := b.items
	b.items, b.spare = b.spare, nil
	b.woken, b.due = false, 0
	b.makeRoom()
	return items
}

func (b *inbox) give(items []item) {
	clear(items)
	b.mu.Lock()
	b.spare = items[:0]
	b.mu.Unlock()
}

// do posts a function to the shard's goroutine.
func (sh *shard) do(f func()) { sh.inbox.put(item{do: f}) }

// run drives the shard by goroutine and timer until stop closes. (An event loop drives turn
// by itself.)
func (sh *shard) run(wake, stop <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		sh.readClock()
		if at := sh.turn(); at > 0 {
			timer.Reset(sh.clock.until(at))
		}
		select {
		case <-stop:
			return
		case <-wake:
		case <-timer.C:
		}
	}
}

// readClock sets the instant that the whole turn sees.
func (sh *shard) readClock() {
	wall := time.Now()
	sh.now, sh.wall = int64(wall.Sub(sh.clock.start)), wall.UnixNano()
}

// turn does everything that is due and returns when it wants to be called again, at the
// latest; 0 means not before something arrives. The clock was read before.
func (sh *shard) turn() (wake int64) {
	items := sh.inbox.take()
	for i := range items {
		sh.route(&items[i])
	}
	sh.inbox.give(items)
	sh.fireTimers()
	wake = sh.flush()
	if sh.relieveDue() {
		sh.relieve()
	}
	if len(sh.laden) > 0 { // their sums must not outlive them
		if at := sh.now + int64(slowCheck); wake == 0 || at < wake {
			wake = at
		}
	}
	sh.publishCounts()
	if next := sh.timers.next(); next > 0 && (wake == 0 || next < wake) {
		wake = next
	}
	return wake
}

// route takes one item in its place. Ticks are gathered until a flush is due: then a stream's
// ticks of one window are one chunk, and cost each of its sessions one step and not one each.
func (sh *shard) route(it *item) {
	switch {
	case it.chunk != nil:
		sh.gather(it)
	case it.gap != nil:
		sh.publishGathered()
		sh.publishGap(it.tape, it.gap)
	case it.tape != nil:
		it.do()
	default:
		sh.publishGathered() // what do begins must not see what came before it
		it.do()
	}
}
