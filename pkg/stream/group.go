package stream

import (
	"sync/atomic"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/subscribe"
)

const (
	// groupsMax is how many groups a shard has, each a quarter of a batching window behind another.
	groupsMax = 4
	// groupFull is from how many sessions on another group is begun. To write to so many takes
	// some 0.8 ms; what comes meanwhile waits for the next window.
	groupFull = 256
)

// A group is some of a shard's sessions, whose batching windows end together. To write to a
// thousand sessions takes half a window, and a tick that came just behind a window's end would wait
// for the next one, and then for its session's turn. So a shard with many of them has several groups,
// whose windows end at different times: what is written at once is short, and each session still
// gets one message a window. Few sessions are one group, which costs nothing more.
type group struct {
	sh *shard
	n  int

	sessions int
	gathered []gathered      // came since the last flush
	begun    map[begin]int64 // granted since then, behind so much of what was gathered
	place    []int32         // by tape.id, where in gathered it is, plus one
	dirty    []*session      // have something to send; emptied every flush
	flushed  int64           // when the last flush was
	due      atomic.Int64    // when the window ends that began then; the ingest's connection is read by it
	traces   []shardTrace    // of ticks that no flush has seen yet
	timings  []timing        // of those whose times are known
	arrived  int64           // when the oldest tick that no flush has seen yet reached the node; 0 = none
}

// join puts a session that opens into the first group that is not full, or the smallest.
func (sh *shard) join(s *session) {
	to := &sh.groups[0]
	for i := range sh.groups {
		g := &sh.groups[i]
		if g.sessions < groupFull {
			to = g
			break
		}
		if g.sessions < to.sessions {
			to = g
		}
	}
	to.sessions++
	s.group = to
}

// index is who wants what among those in the session's group, and see the same.
func (s *session) index() *subscribe.Index[*session, option] { return &s.view.index[s.group.n] }

// indexOf is who of the group wants what of the tape's ingest.
func (g *group) indexOf(t *tape) *subscribe.Index[*session, option] {
	return &g.sh.views[t.view].index[g.n]
}

// named notes that the stream is wanted in the session's group.
func (s *session) named(id subscribe.ID) {
	sh := s.sh
	if n := int(id) + 1 - len(sh.wantedBy); n > 0 {
		sh.wantedBy = append(sh.wantedBy, make([]uint8, n)...)
	}
	sh.wantedBy[id] |= 1 << s.group.n
}

// wants says whether somebody in the group may want the stream.
func (g *group) wants(t *tape) bool {
	by := g.sh.wantedBy
	return int(t.id) < len(by) && by[t.id]&(1<<g.n) != 0 || len(g.indexOf(t).Wild(t.stream.Channel)) > 0
}

// gather keeps ticks for the groups that want them. The first also ends the traces of those that
// nobody wants any more.
func (sh *shard) gather(it *item) {
	left := it.trace != nil
	for i := range sh.groups {
		if g := &sh.groups[i]; g.wants(it.tape) {
			g.take(it)
			left = false
		}
	}
	if left {
		sh.groups[0].take(it)
	}
}

func (g *group) take(it *item) {
	if it.trace != nil {
		g.follow(it)
	}
	g.gather(it.tape, it.chunk)
}

func (sh *shard) publishGathered() {
	for i := range sh.groups {
		sh.groups[i].publishGathered()
	}
}

func (sh *shard) publishGap(t *tape, hole *gap) {
	for i := range sh.groups {
		sh.groups[i].publishGap(t, hole)
	}
}

// gathered is what came of one stream since the last flush: chunks without a hole.
type gathered struct {
	tape   *tape
	chunks []*codec.Chunk
	bytes  int
	window *codec.Chunk // all of it, during a flush; nil where nobody wants it
}

// gatherBytesMax bounds a chunk that is made of others: what is dropped or queued in one
// piece must be small against a budget.
const gatherBytesMax = 16 << 10

func (g *group) gather(t *tape, c *codec.Chunk) {
	if g.arrived == 0 {
		g.arrived = c.At
	}
	if id := int(t.id); id >= len(g.place) {
		g.place = append(g.place, make([]int32, id+1-len(g.place))...)
	}
	if at := g.place[t.id]; at > 0 {
		of := &g.gathered[at-1]
		if c.First == of.chunks[len(of.chunks)-1].Last+1 && of.bytes+len(c.Bytes) <= gatherBytesMax {
			of.chunks, of.bytes = append(of.chunks, c), of.bytes+len(c.Bytes)
			return
		}
		g.publishGathered()
	}
	n := len(g.gathered)
	if n < cap(g.gathered) {
		g.gathered = g.gathered[:n+1] // with the chunks slice that was there
	} else {
		g.gathered = append(g.gathered, gathered{})
	}
	of := &g.gathered[n]
	of.tape, of.chunks, of.bytes = t, append(of.chunks, c), len(c.Bytes)
	g.place[t.id] = int32(n + 1)
}

// publishGathered gives what was gathered to everybody it is for.
func (g *group) publishGathered() {
	for i := range g.gathered {
		of := &g.gathered[i]
		if c := g.joined(of); c != nil {
			g.publish(of.tape, c)
		}
	}
	g.forgetGathered()
}

// joined is all that was gathered of a stream, nil if nobody wants it any more.
func (g *group) joined(of *gathered) *codec.Chunk {
	x := g.indexOf(of.tape)
	switch {
	case len(x.Named(of.tape.id)) == 0 && len(x.Wild(of.tape.stream.Channel)) == 0:
		return nil
	case len(of.chunks) == 1:
		return of.chunks[0]
	}
	return codec.Join(of.chunks)
}

func (g *group) forgetGathered() {
	for i := range g.gathered {
		of := &g.gathered[i]
		g.place[of.tape.id] = 0
		clear(of.chunks)
		of.tape, of.chunks, of.window = nil, of.chunks[:0], nil
	}
	g.gathered = g.gathered[:0]
	for b := range g.begun {
		b.session.begun = false
	}
	clear(g.begun)
}

// A begin is the grant of a stream to a session in the middle of a window. What was gathered of
// the stream before it is not the session's. To push it to those whose it is, and gather anew,
// would have each subscriber that comes cost all that are there.
type begin struct {
	session *session
	stream  subscribe.ID
}

// begins has the session miss what was gathered of the stream so far.
func (s *session) begins(id subscribe.ID) {
	g := s.group
	if int(id) >= len(g.place) || g.place[id] == 0 {
		return
	}
	chunks := g.gathered[g.place[id]-1].chunks
	g.begun[begin{s, id}] = chunks[len(chunks)-1].Last
	s.begun = true
}

// give queues what the session is to have of a chunk that was gathered.
func (s *session) give(id subscribe.ID, c *codec.Chunk, opt option) {
	if s.begun {
		if last, ok := s.group.begun[begin{s, id}]; ok {
			c = c.From(last + 1)
		}
	}
	if c != nil {
		s.push(c, opt)
	}
}

func (g *group) publish(t *tape, c *codec.Chunk) {
	x := g.indexOf(t)
	named := x.Named(t.id)
	for i := range named {
		named[i].Owner.give(t.id, c, named[i].Opt)
	}
	publishWild(x, t.id, c)
}

func publishWild(x *subscribe.Index[*session, option], id subscribe.ID, c *codec.Chunk) {
	wild := x.Wild(id.Channel())
	for i := range wild {
		if !x.Excepts(wild[i].Owner, id) {
			wild[i].Owner.push(c, wild[i].Opt)
		}
	}
}

func (g *group) publishGap(t *tape, hole *gap) {
	x := g.indexOf(t)
	named := x.Named(t.id)
	for i := range named {
		named[i].Owner.pushGap(t, hole, named[i].Opt)
	}
	wild := x.Wild(t.stream.Channel)
	for i := range wild {
		if !x.Excepts(wild[i].Owner, t.id) {
			wild[i].Owner.pushGap(t, hole, wild[i].Opt)
		}
	}
}

// flush has each group send what waits, if its window is over. It returns when the next turn is
// to be, 0 if nothing waits.
func (sh *shard) flush() (wake int64) {
	waits := false
	for i := range sh.groups {
		if g := &sh.groups[i]; !g.flush() {
			waits = true
		}
	}
	if !waits {
		return 0
	}
	first := int64(0) // that a window ends
	open := true      // each group's window is open
	for i := range sh.groups {
		g := &sh.groups[i]
		if due := g.due.Load(); g.sessions > 0 && due <= sh.now {
			open = false
		} else if due > sh.now && (first == 0 || due < first) {
			first = due
		}
	}
	if open {
		sh.inbox.sleepUntil(first)
	}
	return first + int64(sh.cfg.BatchEvery)/lateShare
}

// lateShare of a window is how long after its end a group still waits for what is being read:
// the ingest's connection is read when a window ends.
const lateShare = 16

// flush sends what waits, at most once per batching window: at once after a quiet time, and
// in company under load. It reports whether nothing waits any more.
func (g *group) flush() bool {
	if len(g.dirty) == 0 && len(g.gathered) == 0 {
		g.endTraces()
		return true
	}
	sh := g.sh
	if sh.now < g.due.Load() {
		return false
	}
	g.flushed = sh.now
	g.due.Store(g.next(sh.now))
	sh.flushes++
	g.openWindow()
	g.chooseTraced()
	for i, s := range g.dirty {
		if s.picking {
			s.picking = false
			s.pick()
		}
		s.dirty = false // not before: what pick pushes is flushed right here
		s.flush()
		if len(g.traces) > 0 {
			g.traceFlushed(s)
		}
		g.dirty[i] = nil
	}
	g.dirty = g.dirty[:0]
	g.forgetGathered()
	g.endTraces()
	return true
}

// next is when the window ends that begins at the given time: in a window's time, or up to an eighth of
// that earlier, until the groups' windows end apart from each other, and with those of other shards.
func (g *group) next(begins int64) int64 {
	window := int64(g.sh.cfg.BatchEvery)
	if window == 0 {
		return 0
	}
	due := begins + window
	phase := [groupsMax]int64{0, 2, 1, 3}[g.n] * window / groupsMax
	return due - min((due-phase+window)%window, window/8)
}

// ReadBy says when messages should be read at the latest, so that they leave with the window that
// ends first; zero where nothing has been sent for two windows. Any goroutine may ask.
func (n *Node) ReadBy() time.Time {
	now, first := n.clock.now(), int64(0)
	for _, sh := range n.shards {
		for i := range sh.groups {
			g := &sh.groups[i]
			due := g.due.Load()
			if due == 0 || due < now-2*int64(n.cfg.BatchEvery) {
				continue
			}
			if due <= now {
				due = g.next(now) // what has just been read is about to leave
			}
			if first == 0 || due < first {
				first = due
			}
		}
	}
	if first == 0 {
		return time.Time{}
	}
	return n.clock.start.Add(time.Duration(first))
}
