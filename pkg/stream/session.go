package stream

import (
	"strconv"
	"time"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/subscribe"
)

// A wire carries one session's messages; an engine provides it. All methods are called by
// the session's shard and none blocks.
type wire interface {
	// Send sends m, which is the caller's again on return, and reports whether the wire
	// can take another. After false it takes none until the engine has called passedOn.
	Send(m *message) bool
	// Waiting counts the bytes sent that the kernel has not taken: they are in this
	// process's memory.
	Waiting() int
	// Kernel asks for the socket's figures, which costs system calls.
	Kernel() kernelView
	// Close sends a close frame behind what was sent, and ends the connection within a
	// bound whatever the subscriber does. Calling it again does nothing.
	Close(code int, reason string)
}

// A kernelView is what the kernel knows of a connection's way out; zero where it does not tell.
type kernelView struct {
	Queued  int // bytes that the peer has not acknowledged
	NotSent int // bytes of those that were not sent yet
	RTT     time.Duration
}

// closeWithin bounds how long a session that is being closed may take to read what waits.
const closeWithin = 5 * time.Second

// A session is one subscriber's connection, as its shard sees it. Thousands of them are
// idle, so what only some need is behind pointers.
type session struct {
	// What every message touches: three cache lines. Among thousands of sessions each is a
	// miss, and a session's messages are so far apart that the next one misses them again.
	queue   backpressure.Queue
	sh      *shard
	group   *group
	leaving *leaving // nil unless the session is to end
	dirty   bool     // in the shard's list
	picking bool     // picks what it wants out of the window at this flush
	pushed  bool     // gets its ticks into its queue: see pick
	busy    bool     // the wire has a message that it has not passed on
	closed  bool
	deflate bool // both sides want permessage-deflate
	begun   bool // was given a stream since the last flush: see begin
	enc     codec.Encoding
	wire    wire
	kind    *kind   // of its subscriptions at the last flush
	rights  *rights // nil where nobody asks for a token
	set     subscribe.Set[*session, option]
	sent    int64    // when something was last sent
	total   counters // since the connection opened

	nth     uint64 // numbers the node's sessions
	remote  string
	seat    *seat // nil where nobody counts
	view    *view // whose streams it subscribes to
	opened  int64 // Unix seconds
	at      int32 // in shard.sessions
	timerAt int32 // in shard.timers; -1 = not there

	asked *asked // nil when nothing is under way
	lanes []lane

	due       int64 // of the next look
	overSince int64 // since when the queue has been over its budget; 0 = it is not
	stuckAt   int64 // since when the peer has taken no byte
	waiting   int   // what it had not taken when it was last looked at; -1 = it was not
	slow      bool  // what a stat event says
	laden     bool  // in the shard's list of those whose memory is watched

	requests, refusals pace

	stats *stats // nil unless asked for
}

// asked is what a session has asked for and does not have yet.
type asked struct {
	streams map[subscribe.ID]*option // a pointer is one request's: a stream may end, and be asked for anew
	all     [market.Channels]*askedAll
}

// stats are told every so often, each time since the last.
type stats struct {
	every, due int64
	last       counters
}

// leaving says how a session ends.
type leaving struct {
	at      int64 // when a draining node sends it away; 0 = it does not
	closing int   // the close code that follows when the queue is empty; 0 = not yet
	reason  string
	closeBy int64
}

// A lane holds back the events of streams with the same interval until they are due.
type lane struct {
	every, due int64
	hold       backpressure.Hold
}

// Subscriptions is subscribe.Session's.
func (s *session) Subscriptions() *subscribe.Set[*session, option] { return &s.set }

// id names the session in hello, logs and /v1/sessions.
func (s *session) id() string { return s.sh.node + "-" + strconv.FormatUint(s.nth, 10) }

// ending reports that nothing more is queued for the session but goodbye.
func (s *session) ending() bool { return s.closed || s.leaving != nil && s.leaving.closing != 0 }

// open begins the session with hello.
func (s *session) open() {
	sh := s.sh
	sh.counts.opened.Add(1)
	s.at = int32(len(sh.sessions))
	sh.sessions = append(sh.sessions, s)
	sh.join(s)
	s.timerAt = -1
	s.queue.Init(s.enc, sh.cfg.PendingBytes)
	s.sent, s.view = sh.now, sh.views[0]
	sh.rec = codec.AppendHello(sh.rec[:0], &codec.Hello{
		Session: s.id(), Node: sh.node, Heartbeat: sh.cfg.Heartbeat, MaxSymbols: s.symbolsMax(), Auth: s.rights.state(),
	})
	s.control(sh.rec)
	sh.timers.at(s, sh.now+int64(sh.cfg.Heartbeat))
	s.openRights()
	if sh.emptying {
		s.sendAway()
	}
	s.flush() // hello and what answers the handshake are one write
}

// leave counts the connection out, once the engine is done with it.
func (s *session) leave() {
	s.seat.leave()
	s.sh.gone()
}

// gone ends the session when its connection has, with that close code; a session that was
// told to go counts as gone by that code, whether or not it heard it.
func (s *session) gone(code int) {
	if s.closed {
		return
	}
	s.closed = true
	s.forgetBehind()
	sh := s.sh
	if l := s.leaving; l != nil && l.closing != 0 {
		code = l.closing
	}
	sh.sum.closes[closeIndex(code)]++
	if s.rights.unproven() {
		sh.counts.unproven.Add(-1)
	}
	if s.asked != nil {
		for id := range s.asked.streams {
			s.view.unname(id)
		}
		for ch, all := range s.asked.all {
			if all != nil {
				s.view.unnameAll(market.Channel(ch))
			}
		}
		s.asked = nil
	}
	s.index().Clear(s, s.view.unname, s.view.unnameAll)
	sh.leaveKind(s)
	s.group.sessions--
	sh.timers.remove(s)
	last := len(sh.sessions) - 1
	sh.sessions[s.at] = sh.sessions[last]
	sh.sessions[s.at].at = s.at
	sh.sessions[last] = nil
	sh.sessions = sh.sessions[:last]
}

// control queues an answer, copying rec. It is never dropped; a subscriber that asks and
// does not read is cut when its answers alone are over the budget. Behind goodbye there are
// no answers: what is being carried out may itself have been what the session was cut for.
func (s *session) control(rec []byte) {
	if s.ending() {
		return
	}
	s.queue.Control(rec)
	s.mark()
}

func (s *session) mark() {
	if !s.dirty && !s.closed {
		s.dirty = true
		s.group.dirty = append(s.group.dirty, s)
	}
}

// push queues the ticks of c.
func (s *session) push(c *codec.Chunk, opt option) {
	s.sh.relieveGrown() // this one may be who gives
	if s.leaving != nil && s.leaving.closing != 0 {
		return
	}
	if opt.intervalMS > 0 {
		h := &s.lane(opt).hold
		was := h.Footprint()
		s.count(h.Add(c, opt.policy))
		s.grew(h.Footprint() - was)
		return
	}
	was := s.queue.Footprint()
	s.count(s.queue.Push(c, opt.policy, s.sh.now))
	s.grew(s.queue.Footprint() - was)
	s.mark()
}

// pushGap queues a gap in its place in the order.
func (s *session) pushGap(t *tape, g *gap, opt option) {
	if s.leaving != nil && s.leaving.closing != 0 {
		return
	}
	if opt.intervalMS > 0 {
		s.lane(opt).hold.Gap(t.stream, uint32(t.id), g.from, g.to, g.reason)
		return
	}
	s.queue.Gap(t.stream, uint32(t.id), g.from, g.to, g.reason)
	s.mark()
}

func (s *session) count(o backpressure.Outcome) {
	if o == (backpressure.Outcome{}) {
		return
	}
	s.total.conflated += int64(o.Conflated)
	s.total.dropped += int64(o.Dropped)
	s.total.aggregated += int64(o.Aggregated)
	s.sh.sum.conflated += int64(o.Conflated)
	s.sh.sum.dropped += int64(o.Dropped)
	s.sh.sum.aggregated += int64(o.Aggregated)
	if o.Disconnect {
		s.evict("the queue is full and the policy is disconnect")
		return
	}
	s.watch()
}

// lane returns the lane of the option's interval, for something to be held back in it.
func (s *session) lane(opt option) *lane {
	every := int64(opt.intervalMS) * int64(time.Millisecond)
	var l *lane
	for i := range s.lanes {
		if s.lanes[i].every == every {
			l = &s.lanes[i]
		}
	}
	if l == nil {
		s.lanes = append(s.lanes, lane{every: every, due: s.sh.now + s.phase(every)})
		l = &s.lanes[len(s.lanes)-1]
		l.hold.Init(s.enc, s.sh.cfg.PendingBytes)
	}
	s.sh.timers.sooner(s, l.due)
	s.load()
	return l
}

// phase spreads the sessions over an interval, by the golden ratio, so that a thousand that
// came at once do not all get their events at once.
func (s *session) phase(every int64) int64 {
	const golden = 0x9e3779b97f4a7c15
	return 1 + int64((s.nth*golden>>32)*uint64(every)>>32)
}

// release passes on what is held back and due, or all of it. It may be what cuts the session,
// which then has no lanes any more.
func (s *session) release(all bool) {
	for i := 0; i < len(s.lanes); i++ {
		l := &s.lanes[i]
		if !all && s.sh.now < l.due {
			continue
		}
		if s.sh.now >= l.due {
			l.due += l.every * ((s.sh.now-l.due)/l.every + 1)
		}
		if !l.hold.Empty() {
			s.count(l.hold.Release(&s.queue, s.sh.now))
			s.mark()
		}
	}
}

// releaseStream passes on what is held back of one stream, before its options change or it
// ends.
func (s *session) releaseStream(id subscribe.ID) {
	for i := 0; i < len(s.lanes); i++ {
		if h := &s.lanes[i].hold; !h.Empty() {
			s.count(h.ReleaseStream(uint32(id), &s.queue, s.sh.now))
			s.mark()
		}
	}
}

// flush sends what waits for as long as the wire takes it.
func (s *session) flush() {
	sh := s.sh
	for !s.busy && !s.closed && !s.queue.Empty() && s.mayBatch() {
		m := sh.next(s)
		if m.events == 0 {
			break
		}
		s.send(m)
	}
	if l := s.leaving; l != nil && l.closing != 0 && !s.busy && !s.closed && s.queue.Empty() {
		s.wire.Close(l.closing, l.reason)
	}
}

// send hands a message to the wire, which is not busy.
func (s *session) send(m *message) {
	sh := s.sh
	n, bytes := int64(m.events), int64(len(m.batch()))
	sh.sum.events += n
	sh.sum.batches++
	sh.sum.bytes += bytes
	sh.sum.batchEvents.add(&eventBounds, n)
	if m.gaps != (codec.GapCounts{}) {
		for i, gaps := range m.gaps {
			sh.sum.gaps[i] += int64(gaps)
		}
	}
	s.total.events += n
	s.total.batches++
	s.total.bytes += bytes
	s.sent = sh.now
	s.sentBatch()
	if !s.wire.Send(m) {
		s.busy = true
		s.stuckAt, s.waiting = sh.now, -1
		s.watch()
		s.load()
		s.grew(s.wire.Waiting())
	}
}

// passedOn is the engine's word that the wire can take another message.
func (s *session) passedOn() {
	s.busy = false
	s.mark()
}

// shut says goodbye: bye with the code, what waits before it, and the close frame.
func (s *session) shut(code int, reason string, retry time.Duration) {
	if s.ending() {
		return
	}
	if s.release(true); s.ending() {
		return // cut for what was held back
	}
	if s.leaving == nil {
		s.leaving = new(leaving)
	}
	s.sh.rec = codec.AppendBye(s.sh.rec[:0], code, reason, retry)
	s.control(s.sh.rec)
	s.leaving.closing, s.leaving.reason = code, reason
	s.leaving.closeBy = s.sh.now + int64(closeWithin)
	s.sh.timers.sooner(s, s.leaving.closeBy)
}

// look does what the session's time has come for, and says when to look again.
func (s *session) look() (next int64) {
	sh := s.sh
	if l := s.leaving; l != nil {
		switch {
		case l.closing != 0 && sh.now >= l.closeBy:
			s.wire.Close(l.closing, l.reason)
			return sh.now + int64(closeWithin) // the wire keeps its own bound from here
		case l.closing != 0:
			return l.closeBy
		case l.at != 0 && sh.now >= l.at:
			s.shut(codeRestart, "the node is restarting", retryDrain)
			return l.closeBy
		}
	}
	s.checkRights()
	s.release(false)
	s.checkSlow()
	s.resumeBatches()
	s.sendStat()
	beat := int64(sh.cfg.Heartbeat)
	if sh.now-s.sent >= beat && s.queue.Empty() && !s.busy {
		sh.rec = codec.AppendHeartbeat(sh.rec[:0], sh.wall)
		s.control(sh.rec)
		s.sent = sh.now
	}
	return s.nextLook(beat)
}

func (s *session) nextLook(beat int64) int64 {
	now := s.sh.now
	next := s.sent + beat
	if next <= now {
		next = now + int64(slowCheck) // waits for the wire
	}
	if s.busy || s.queue.Over() {
		next = min(next, now+int64(slowCheck))
	}
	if s.stats != nil {
		next = min(next, s.stats.due)
	}
	next = s.nextRights(next)
	for i := range s.lanes {
		if !s.lanes[i].hold.Empty() {
			next = min(next, s.lanes[i].due)
		}
	}
	if l := s.leaving; l != nil {
		if l.at != 0 {
			next = min(next, l.at)
		}
		if l.closing != 0 {
			next = min(next, l.closeBy)
		}
	}
	return max(next, now+int64(time.Millisecond))
}
