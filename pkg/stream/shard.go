package stream

import (
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/subscribe"
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
	gathered []gathered      // came since the last flush
	begun    map[begin]int64 // granted since then, behind so much of what was gathered
	place    []int32         // by tape.id, where in gathered it is, plus one
	window   []*codec.Chunk  // by tape.id, during a flush
	emptying bool            // the node drains or stops: who opens now is sent away
	dirty    []*session      // have something to send; emptied every flush
	flushed  int64           // when the last flush was
	flushes  uint64
	kinds    map[uint64]*kind
	message  message        // the one that is being sent, unless it is a kind's
	chunks   []*codec.Chunk // that it is made of
	framer   framer
	timers   timers
	rec      []byte       // single records are built here
	traces   []shardTrace // of ticks that no flush has seen yet
	timings  []timing     // of those whose times are known
	arrived  int64        // when the oldest tick that no flush has seen yet reached the node; 0 = none
	sum      turnCounts

	laden    []*session // hold memory from one turn to the next
	relieved int64      // when they were last looked at
	held     int        // by all of them then
	grown    int        // by how much that has become more, at the most
	memory   int        // that they may hold together
	burdens  []burden   // of theirs, while they are compared
}

func newShard(n int, cfg *Config, c clock) *shard {
	return &shard{
		n: n, node: cfg.Name, cfg: cfg, clock: c, log: cfg.Log,
		kinds:  make(map[uint64]*kind),
		begun:  make(map[begin]int64),
		memory: cfg.NodePendingBytes / cfg.Shards,
	}
}

// An inbox takes items from any goroutine and gives them to the shard in order.
type inbox struct {
	mu    sync.Mutex
	items []item
	spare []item
	woken bool          // since the last take
	timed bool          // the shard takes a turn when the batching window ends, whatever comes
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
	wake := !b.woken && !(b.timed && !slices.ContainsFunc(items, isCommand))
	b.woken = b.woken || wake
	b.mu.Unlock()
	if wake {
		b.wake()
	}
}

func isCommand(it item) bool { return it.do != nil }

// sleepUntilFlush says that a turn comes at the end of the batching window.
func (b *inbox) sleepUntilFlush() {
	b.mu.Lock()
	b.timed = true
	b.mu.Unlock()
}

// take returns what waits; give hands the slice back for reuse.
func (b *inbox) take() []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	items := b.items
	b.items, b.spare = b.spare, nil
	b.woken, b.timed = false, false
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
	if wake = sh.flush(); wake != 0 {
		sh.inbox.sleepUntilFlush()
	}
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
		if it.trace != nil {
			sh.follow(it)
		}
		sh.gather(it.tape, it.chunk)
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

// gathered is what came of one stream since the last flush: chunks without a hole.
type gathered struct {
	tape   *tape
	chunks []*codec.Chunk
	bytes  int
}

// gatherBytesMax bounds a chunk that is made of others: what is dropped or queued in one
// piece must be small against a budget.
const gatherBytesMax = 16 << 10

func (sh *shard) gather(t *tape, c *codec.Chunk) {
	if sh.arrived == 0 {
		sh.arrived = c.At
	}
	if id := int(t.id); id >= len(sh.place) {
		sh.place = append(sh.place, make([]int32, id+1-len(sh.place))...)
	}
	if at := sh.place[t.id]; at > 0 {
		g := &sh.gathered[at-1]
		if c.First == g.chunks[len(g.chunks)-1].Last+1 && g.bytes+len(c.Bytes) <= gatherBytesMax {
			g.chunks, g.bytes = append(g.chunks, c), g.bytes+len(c.Bytes)
			return
		}
		sh.publishGathered()
	}
	n := len(sh.gathered)
	if n < cap(sh.gathered) {
		sh.gathered = sh.gathered[:n+1] // with the chunks slice that was there
	} else {
		sh.gathered = append(sh.gathered, gathered{})
	}
	g := &sh.gathered[n]
	g.tape, g.chunks, g.bytes = t, append(g.chunks, c), len(c.Bytes)
	sh.place[t.id] = int32(n + 1)
}

// publishGathered gives what was gathered to everybody it is for.
func (sh *shard) publishGathered() {
	for i := range sh.gathered {
		g := &sh.gathered[i]
		if c := sh.joined(g); c != nil {
			sh.publish(g.tape, c)
		}
	}
	sh.forgetGathered()
}

// joined is all that was gathered of a stream, nil if nobody wants it any more.
func (sh *shard) joined(g *gathered) *codec.Chunk {
	x := sh.indexOf(g.tape)
	switch {
	case len(x.Named(g.tape.id)) == 0 && len(x.Wild(g.tape.stream.Channel)) == 0:
		return nil
	case len(g.chunks) == 1:
		return g.chunks[0]
	}
	return codec.Join(g.chunks)
}

func (sh *shard) forgetGathered() {
	for i := range sh.gathered {
		g := &sh.gathered[i]
		sh.place[g.tape.id] = 0
		clear(g.chunks)
		g.tape, g.chunks = nil, g.chunks[:0]
	}
	sh.gathered = sh.gathered[:0]
	for b := range sh.begun {
		b.session.begun = false
	}
	clear(sh.begun)
}

// A begin is the grant of a stream to a session in the middle of a window. What was gathered of
// the stream before it is not the session's. To push it to those whose it is, and gather anew,
// would have each subscriber that comes cost all that are there.
type begin struct {
	session *session
	stream  subscribe.ID
}

// begins has the session miss what was gathered of the stream so far.
func (sh *shard) begins(s *session, id subscribe.ID) {
	if int(id) >= len(sh.place) || sh.place[id] == 0 {
		return
	}
	chunks := sh.gathered[sh.place[id]-1].chunks
	sh.begun[begin{s, id}] = chunks[len(chunks)-1].Last
	s.begun = true
}

// give queues what the session is to have of a chunk that was gathered.
func (s *session) give(id subscribe.ID, c *codec.Chunk, opt option) {
	if s.begun {
		if last, ok := s.sh.begun[begin{s, id}]; ok {
			c = c.From(last + 1)
		}
	}
	if c != nil {
		s.push(c, opt)
	}
}

func (sh *shard) publish(t *tape, c *codec.Chunk) {
	x := sh.indexOf(t)
	named := x.Named(t.id)
	for i := range named {
		named[i].Owner.give(t.id, c, named[i].Opt)
	}
	sh.publishWild(x, t.id, c)
}

func (sh *shard) publishWild(x *subscribe.Index[*session, option], id subscribe.ID, c *codec.Chunk) {
	wild := x.Wild(id.Channel())
	for i := range wild {
		if !x.Excepts(wild[i].Owner, id) {
			wild[i].Owner.push(c, wild[i].Opt)
		}
	}
}

func (sh *shard) publishGap(t *tape, g *gap) {
	x := sh.indexOf(t)
	named := x.Named(t.id)
	for i := range named {
		named[i].Owner.pushGap(t, g, named[i].Opt)
	}
	wild := x.Wild(t.stream.Channel)
	for i := range wild {
		if !x.Excepts(wild[i].Owner, t.id) {
			wild[i].Owner.pushGap(t, g, wild[i].Opt)
		}
	}
}

// flush sends what waits, at most once per batching window: at once after a quiet time, and
// in company under load. It returns when it is due again, 0 if nothing waits.
func (sh *shard) flush() int64 {
	if len(sh.dirty) == 0 && len(sh.gathered) == 0 {
		sh.endTraces()
		return 0
	}
	if due := sh.flushed + int64(sh.cfg.BatchEvery); sh.now < due && sh.flushed > 0 {
		return due
	}
	sh.flushed = sh.now
	sh.flushes++
	sh.openWindow()
	sh.chooseTraced()
	for i, s := range sh.dirty {
		if s.picking {
			s.picking = false
			s.pick()
		}
		s.dirty = false // not before: what pick pushes is flushed right here
		s.flush()
		if len(sh.traces) > 0 {
			sh.traceFlushed(s)
		}
		sh.dirty[i] = nil
	}
	sh.dirty = sh.dirty[:0]
	sh.closeWindow()
	sh.endTraces()
	return 0
}
