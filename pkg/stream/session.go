package stream

import (
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/subscribe"
)

// A wire carries one session's messages; an engine provides it. All methods are called by
// the session's shard and none blocks.
type wire interface {
	// Send takes the message b[at:], which is the caller's again on return, and reports
	// whether the wire can take another. After false it takes none until the engine has
	// called passedOn. The wire may write a frame header of up to headroom bytes before at.
	Send(b []byte, at int) bool
	// Waiting counts the bytes sent that the kernel has not taken.
	Waiting() int
	// Close sends a close frame behind what was sent, and ends the connection within a
	// bound whatever the subscriber does. Calling it again does nothing.
	Close(code int, reason string)
}

// headroom is what a frame header takes at the most, in front of a message (RFC 6455, 5.2:
// two bytes and a 64-bit length, unmasked).
const headroom = 10

// closeWithin bounds how long a session that is being closed may take to read what waits.
const closeWithin = 5 * time.Second

// slowCheck is how often a session that has a backlog is looked at.
const slowCheck = 250 * time.Millisecond

// A session is one subscriber's connection, as its shard sees it.
type session struct {
	sh      *shard
	id      string
	remote  string
	enc     codec.Encoding
	deflate bool // both sides want permessage-deflate
	wire    wire
	opened  time.Time
	ended   func() // called by the engine when the connection is gone

	set        subscribe.Set[*session, option]
	pending    map[subscribe.ID]option    // asked for, not yet granted
	pendingAll [market.Channels]*askedAll // the same for wildcards
	queue      backpressure.Queue
	lanes      []lane

	dirty   bool // in the shard's list
	busy    bool // the wire has a message that it has not passed on
	closed  bool
	closing int    // the close code that follows when the queue is empty; 0 = not closing
	reason  string // what the close frame says
	closeBy int64
	leaveAt int64 // when a draining node sends the session away; 0 = it does not

	sent      int64 // when something was last sent
	due       int64
	timerAt   int
	overSince int64 // since when the queue has been over its budget; 0 = it is not
	stuckAt   int64 // since when the wire has passed no byte on
	waiting   int   // wire.Waiting then

	statEvery, statDue int64
	stat               codec.Stat // counts since the last one
	total              counters   // since the connection opened
}

// A lane holds back the events of streams with the same interval until they are due.
type lane struct {
	every, due int64
	hold       backpressure.Hold
}

// open begins the session with hello.
func (s *session) open() {
	sh := s.sh
	sh.sessions[s] = struct{}{}
	s.timerAt, s.set.Owner = -1, s
	s.queue.Init(s.enc, sh.cfg.PendingBytes)
	s.sent = sh.now
	sh.rec = codec.AppendHello(sh.rec[:0], &codec.Hello{
		Session: s.id, Node: sh.node, Heartbeat: sh.cfg.Heartbeat, MaxSymbols: sh.cfg.MaxSymbols, Auth: "none",
	})
	s.control(sh.rec)
	sh.timers.at(s, sh.now+int64(sh.cfg.Heartbeat))
}

// gone ends the session when its connection has.
func (s *session) gone() {
	if s.closed {
		return
	}
	s.closed = true
	sh := s.sh
	for id := range s.pending {
		sh.unname(id)
	}
	for ch, asked := range s.pendingAll {
		if asked != nil {
			sh.unnameAll(market.Channel(ch))
		}
	}
	s.pending, s.pendingAll = nil, [market.Channels]*askedAll{}
	sh.index.Clear(&s.set, sh.unname, sh.unnameAll)
	sh.timers.remove(s)
	delete(sh.sessions, s)
}

// control queues an answer, copying rec. It is never dropped; a subscriber that asks and
// does not read is cut when its answers alone are over the budget.
func (s *session) control(rec []byte) {
	s.queue.Control(rec)
	s.mark()
}

func (s *session) mark() {
	if !s.dirty && !s.closed {
		s.dirty = true
		s.sh.dirty = append(s.sh.dirty, s)
	}
}

// push queues the ticks of c.
func (s *session) push(t *tape, c *codec.Chunk, opt option) {
	if s.closing != 0 {
		return
	}
	if opt.intervalMS > 0 {
		s.hold(t, c, opt)
		return
	}
	s.count(s.queue.Push(c, t.stream, opt.policy, s.sh.now))
	s.mark()
}

// pushGap queues a gap in its place in the order.
func (s *session) pushGap(t *tape, from, to int64, r codec.Reason) {
	if s.closing != 0 {
		return
	}
	s.release(true)
	s.queue.Gap(t.stream, uint32(t.id), from, to, r)
	s.mark()
}

func (s *session) count(o backpressure.Outcome) {
	if o == (backpressure.Outcome{}) {
		return
	}
	s.stat.Conflated += int64(o.Conflated)
	s.stat.Dropped += int64(o.Dropped)
	s.stat.Aggregated += int64(o.Aggregated)
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

// watch has the session looked at soon while it is behind.
func (s *session) watch() { s.sh.timers.sooner(s, s.sh.now+int64(slowCheck)) }

// hold puts the ticks into the lane of their interval.
func (s *session) hold(t *tape, c *codec.Chunk, opt option) {
	every := int64(opt.intervalMS) * int64(time.Millisecond)
	var l *lane
	for i := range s.lanes {
		if s.lanes[i].every == every {
			l = &s.lanes[i]
		}
	}
	if l == nil {
		// Sessions are spread over the interval by when each one's lane began.
		s.lanes = append(s.lanes, lane{every: every, due: s.sh.now + every})
		l = &s.lanes[len(s.lanes)-1]
		l.hold.Init(s.enc, s.sh.cfg.PendingBytes)
	}
	s.count(l.hold.Add(c, t.stream, opt.policy))
	s.sh.timers.sooner(s, l.due)
}

// release passes on what is held back and due, or all of it.
func (s *session) release(all bool) {
	for i := range s.lanes {
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

// flush sends what waits for as long as the wire takes it.
func (s *session) flush() {
	sh := s.sh
	for !s.busy && !s.closed && !s.queue.Empty() {
		var b codec.Batch
		b.Reset(s.enc, sh.buf[headroom:headroom])
		s.queue.Fill(&b)
		n := b.Len()
		if n == 0 {
			break
		}
		msg := b.Bytes()
		if len(msg) > len(sh.buf)-headroom {
			sh.buf = append(make([]byte, headroom), msg...) // one record beyond a batch's bound
		}
		sh.sum.events += int64(n)
		sh.sum.batches++
		sh.sum.bytes += int64(len(msg))
		s.stat.Sent += int64(n)
		s.total.events += int64(n)
		s.total.batches++
		s.total.bytes += int64(len(msg))
		s.sent = sh.now
		if !s.wire.Send(sh.buf[:headroom+len(msg)], headroom) {
			s.busy = true
			s.stuckAt, s.waiting = sh.now, s.wire.Waiting()
			s.watch()
		}
	}
	if s.closing != 0 && !s.busy && !s.closed && s.queue.Empty() {
		s.wire.Close(s.closing, s.reason)
	}
}

// passedOn is the engine's word that the wire can take another message.
func (s *session) passedOn() {
	s.busy = false
	s.mark()
}

// shut says goodbye: bye with the code, what waits before it, and the close frame.
func (s *session) shut(code int, reason string, retry time.Duration) {
	if s.closing != 0 || s.closed {
		return
	}
	s.release(true)
	s.closing, s.reason = code, reason
	s.closeBy = s.sh.now + int64(closeWithin)
	s.sh.rec = codec.AppendBye(s.sh.rec[:0], code, reason, retry)
	s.control(s.sh.rec)
	s.sh.timers.sooner(s, s.closeBy)
}

// retrySlow is what a subscriber that was cut for slowness is told to wait.
const retrySlow = time.Second

// evict cuts a slow consumer: what waits is given up, so that bye has a chance.
func (s *session) evict(why string) {
	if s.closing != 0 || s.closed {
		return
	}
	sh := s.sh
	sh.log.Info("slow consumer cut", zap.String("session", s.id), zap.String("remote", s.remote),
		zap.String("reason", why), zap.Int("pending_bytes", s.pendingBytes()),
		zap.Duration("over_for", s.since(s.overSince)), zap.Duration("stuck_for", s.stuckFor()),
		zap.Int64("dropped", s.total.dropped), zap.Int64("conflated", s.total.conflated))
	sh.counts.evicted.Add(1)
	s.queue = backpressure.Queue{}
	s.queue.Init(s.enc, sh.cfg.PendingBytes)
	s.lanes = nil
	s.shut(int(codec.CodeSlowConsumer), "slow consumer", retrySlow)
	s.closeBy = sh.now + int64(time.Second)
	sh.timers.sooner(s, s.closeBy)
}

func (s *session) since(at int64) time.Duration {
	if at == 0 {
		return 0
	}
	return time.Duration(s.sh.now - at)
}

func (s *session) stuckFor() time.Duration {
	if !s.busy {
		return 0
	}
	return s.since(s.stuckAt)
}

func (s *session) pendingBytes() int {
	n := s.queue.Bytes()
	for i := range s.lanes {
		n += s.lanes[i].hold.Bytes()
	}
	return n
}

// look does what the session's time has come for, and says when to look again.
func (s *session) look() (next int64) {
	sh := s.sh
	if s.closing != 0 {
		if sh.now >= s.closeBy {
			s.wire.Close(s.closing, s.reason)
			return sh.now + int64(closeWithin) // the wire keeps its own bound from here
		}
		return s.closeBy
	}
	if s.leaveAt != 0 && sh.now >= s.leaveAt {
		s.shut(codeRestart, "the node is restarting", retryDrain)
		return s.closeBy
	}
	s.release(false)
	s.checkSlow()
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
	if s.statEvery > 0 {
		next = min(next, s.statDue)
	}
	if s.leaveAt != 0 {
		next = min(next, s.leaveAt)
	}
	for i := range s.lanes {
		if !s.lanes[i].hold.Empty() {
			next = min(next, s.lanes[i].due)
		}
	}
	if s.closing != 0 {
		next = min(next, s.closeBy)
	}
	return max(next, now+int64(time.Millisecond))
}

// checkSlow judges the session by how long it has been over its budget, and by how long the
// kernel has taken no byte of it.
func (s *session) checkSlow() {
	now := s.sh.now
	switch {
	case !s.queue.Over():
		s.overSince = 0
	case s.overSince == 0:
		s.overSince = now
	}
	if s.busy {
		if waiting := s.wire.Waiting(); waiting != s.waiting {
			s.waiting, s.stuckAt = waiting, now
		}
	}
	switch limit := s.sh.cfg.SlowTimeout; {
	case s.overSince != 0 && s.since(s.overSince) >= limit:
		s.evict("over its budget for the slow timeout")
	case s.stuckFor() >= limit && s.busy:
		s.evict("took no byte for the slow timeout")
	}
}

func (s *session) sendStat() {
	if s.statEvery == 0 || s.sh.now < s.statDue {
		return
	}
	s.statDue += s.statEvery * ((s.sh.now-s.statDue)/s.statEvery + 1)
	st := s.stat
	st.PendingBytes = int64(s.pendingBytes())
	if at := s.queue.OldestAt(); at > 0 {
		st.QueueAgeMS = (s.sh.now - at) / int64(time.Millisecond)
	}
	st.Slow = s.queue.Over() || s.stuckFor() > time.Second
	s.sh.rec = codec.AppendStat(s.sh.rec[:0], &st)
	s.stat = codec.Stat{}
	s.control(s.sh.rec)
}
