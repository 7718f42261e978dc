package eventloop

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrStopped is why connections end that were open when their loop was stopped.
var ErrStopped = errors.New("eventloop: loop stopped")

// Adopted is a connection whose HTTP upgrade is done: what Detach returns, and more about it.
type Adopted struct {
	// Fd is the descriptor from Detach. The loop owns it from the call of Adopt on,
	// whatever that returns.
	Fd int
	// Answer is sent before anything else, in one piece with the first that the Handler writes
	// when it opens the connection. It is the handshake's end, if that was not sent yet.
	Answer []byte
	// Sized says that the socket has Config's SendBuffer and NotSentLowat already.
	Sized bool
	// Rest is what was read past the handshake. The loop writes to it.
	Rest []byte
	// Deflate says that the peer may compress, without context takeover.
	Deflate bool
	// Data becomes Conn.Data.
	Data any

	tls *pipe // nil = plain
}

// What a loop is doing, as Wake sees it.
const (
	awake  uint32 = iota
	asleep        // parked, or about to park
	woken         // Wake was called since; there is no need to call again
)

const (
	timerSlot    = -1
	adoptingKept = 1024
	eventsMax    = 256

	// readFor bounds what a turn does for those who ask and who come, however many they are and
	// whatever it costs: then those who are served have theirs. The rest waits for the next turn.
	readFor = time.Millisecond
	// adoptMin are opened in any case, so that who asks keeps nobody out.
	adoptMin = 8
)

// A Loop owns a set of connections. Everything under "run" is touched only inside Run.
type Loop struct {
	handler Handler
	cfg     Config
	poller  poller
	state   atomic.Uint32

	mu         sync.Mutex
	inbox      []Adopted
	stopping   bool
	stopLinger time.Duration

	// run
	slots     []slot
	freeSlots []int32
	live      int // descriptors
	written   int64
	adopting  []Adopted
	adopted   int      // of adopting
	behind    bool     // the inbox holds more
	ending    []ending // Closed has yet to be called
	lingers   []linger // by deadline, which is the same time after each began
	now       int64
	asking    queue        // who has sent something
	clock     func() int64 // Now
	askUntil  int64        // by clock, in this turn

	read     []byte // one share of one connection
	spare    *frameReader
	readers  []*frameReader
	inflater inflater
	backlogs backlogs
	frame    []byte // a control frame that is being built
	sealed   []byte // TLS records that are being built
	plain    []byte // decrypted bytes; nil until a TLS connection comes
	opening  struct {
		c      *Conn // nil once it has been answered
		answer []byte
	}
	opened   []byte // an answer and what was written behind it
	reading  *Conn  // whose share is being decoded
	pongs    []byte // answers to the pings of that share
	lastPong int    // where in pongs the last one begins
}

// A slot is what epoll knows a connection by. Its gen changes with every connection, so that
// an event for one that was closed in the same turn cannot reach its successor.
type slot struct {
	c      *Conn
	gen    int32
	asking bool // in the queue; here, where it costs no memory
}

// New returns a loop without connections. It fails only where the system has no descriptor
// left. Run must be called, and returned from, to give its own descriptors back.
func New(h Handler, cfg Config) (*Loop, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.MaxMessageBytes == 0 {
		cfg.MaxMessageBytes = 64 << 10
	}
	if cfg.ReadBudget == 0 {
		cfg.ReadBudget = 32 << 10
	}
	if cfg.Linger == 0 {
		cfg.Linger = 5 * time.Second
	}
	l := &Loop{handler: h, cfg: cfg, clock: Now, read: make([]byte, cfg.ReadBudget)}
	l.spare = l.takeReader()
	if err := l.poller.open(); err != nil {
		return nil, err
	}
	l.state.Store(woken) // the first turn comes at once
	return l, nil
}

// Adopt gives a connection to the loop, from any goroutine. It reports false when the loop
// has stopped: the descriptor is closed then and the Handler hears nothing of it.
func (l *Loop) Adopt(a Adopted) bool {
	l.mu.Lock()
	refused := l.stopping
	if !refused {
		l.inbox = append(l.inbox, a)
	}
	l.mu.Unlock()
	if refused {
		_ = unix.Close(a.Fd)
		return false
	}
	l.Wake()
	return true
}

// Wake makes the loop take a turn soon, from any goroutine. Everything done before Wake is
// seen by that turn. It costs an atomic load when a turn is due anyway, and some 0.2 µs
// when the loop sleeps.
func (l *Loop) Wake() {
	for {
		switch l.state.Load() {
		case woken:
			return
		case awake:
			if l.state.CompareAndSwap(awake, woken) {
				return
			}
		case asleep:
			if l.state.CompareAndSwap(asleep, woken) {
				l.poller.wake()
				return
			}
		}
	}
}

// Began returns when this turn began, by [Now]. It is for the Handler's methods.
func (l *Loop) Began() int64 { return l.now }

// Written returns how many bytes the kernel has taken for all connections so far: handshakes'
// answers, frames and pongs, as TLS has sealed them. It is for the Handler's methods.
func (l *Loop) Written() int64 { return l.written }

// Stop ends the loop, from any goroutine, and does not wait. After one more Turn what is
// still open is closed with 1001; Run returns when the last descriptor is closed, which takes
// at most the given time, or Config.Linger if that is less. To close in some other way, do so
// before.
func (l *Loop) Stop(linger time.Duration) {
	l.mu.Lock()
	l.stopping, l.stopLinger = true, linger
	l.mu.Unlock()
	l.Wake()
}

// Run drives the loop until Stop. It fails only where epoll does, and then drops all
// connections.
func (l *Loop) Run() error {
	defer l.end()
	var wake int64
	for stopped := false; ; {
		events, err := l.sleep(wake)
		if err != nil {
			l.dropAll(err)
			return err
		}
		l.take(events)
		stop := l.adopt()
		l.tellEnded()
		if !stopped {
			wake = l.handler.Turn(l.now)
		}
		if stop && !stopped && l.adopted == len(l.adopting) {
			stopped, wake = true, 0
			l.closeAll()
		}
		l.tellEnded()
		l.expire()
		if stopped && l.live == 0 {
			return nil
		}
		if l.busy() {
			runtime.Gosched() // the loop does not sleep now: what it is to send has to be made too
		}
	}
}

// sleep waits for events until wake, until a lingering connection's time is up, or until
// Wake is called. From here to the next turn, Wake has to end the wait.
func (l *Loop) sleep(wake int64) ([]unix.EpollEvent, error) {
	if len(l.lingers) > 0 && (wake == 0 || l.lingers[0].deadline < wake) {
		wake = l.lingers[0].deadline
	}
	if l.busy() || !l.state.CompareAndSwap(awake, asleep) {
		l.state.Store(awake)
		return l.poller.now()
	}
	events, err := l.poller.wait(wake)
	l.state.Store(awake)
	return events, err
}

// take begins the turn at this instant.
func (l *Loop) take(events []unix.EpollEvent) {
	l.now = l.clock()
	l.askUntil = l.now + int64(readFor)
	for i := range events {
		l.serve(&events[i])
	}
	l.readAsking()
}

// busy says that this turn has left work for the next.
func (l *Loop) busy() bool { return !l.asking.empty() || l.adopted < len(l.adopting) || l.behind }

// serve writes what waits for the peer, and notes that it has sent something. Errors are found by
// reading and writing.
func (l *Loop) serve(ev *unix.EpollEvent) {
	if ev.Fd == timerSlot {
		l.poller.armed = 0
		return
	}
	s := l.slots[ev.Fd]
	if s.c == nil || s.gen != ev.Pad {
		return
	}
	const broken = unix.EPOLLERR | unix.EPOLLHUP
	if ev.Events&(unix.EPOLLOUT|broken) != 0 && s.c.backlog != nil {
		s.c.flush()
	}
	if ev.Events&(unix.EPOLLIN|unix.EPOLLRDHUP|broken) != 0 && s.c.state != stateGone {
		l.asks(s.c)
	}
}

// asks has c read when its turn comes.
func (l *Loop) asks(c *Conn) {
	if s := &l.slots[c.slot]; !s.asking {
		s.asking = true
		l.asking.push(c)
	}
}

// readAsking reads a share of each that has sent something, until the time for it is over. Who
// comes next goes on in the next turn, before those who ask again.
func (l *Loop) readAsking() {
	for n := l.asking.len(); n > 0; n-- {
		c := l.asking.pop()
		s := &l.slots[c.slot]
		if s.c != c {
			continue // has gone, and its place is another's
		}
		if s.asking = false; c.state != stateGone {
			c.readShare()
		}
		if l.overdue() {
			return
		}
	}
}

// overdue says that this turn has done enough for those who ask.
func (l *Loop) overdue() bool { return l.clock() >= l.askUntil }

// adopt opens what came through Adopt, some of it in the next turn when it is much.
func (l *Loop) adopt() (stop bool) {
	l.mu.Lock()
	if l.adopted == len(l.adopting) {
		// What the storm of before has grown is enough for the next one's.
		spare := l.adopting[:0]
		if cap(spare) > adoptingKept {
			spare = nil
		}
		l.adopting, l.inbox, l.adopted = l.inbox, spare, 0
	}
	l.behind = len(l.inbox) > 0 // and whoever put it there has woken the loop for this turn
	stop = l.stopping && !l.behind
	l.mu.Unlock()

	for n := 0; l.adopted < len(l.adopting) && (n < adoptMin || !l.overdue()); n++ {
		a := &l.adopting[l.adopted]
		l.adopted++
		l.open(a)
		*a = Adopted{}
	}
	return stop
}

func (l *Loop) open(a *Adopted) {
	c := &Conn{Data: a.Data, loop: l, tls: a.tls, fd: int32(a.Fd), watched: interestRead, deflate: a.Deflate}
	if len(l.freeSlots) == 0 {
		l.freeSlots = append(l.freeSlots, int32(len(l.slots)))
		l.slots = append(l.slots, slot{})
	}
	last := len(l.freeSlots) - 1
	c.slot, l.freeSlots = l.freeSlots[last], l.freeSlots[:last]
	s := &l.slots[c.slot]
	s.c = c
	s.gen++
	s.asking = false
	l.live++

	if !a.Sized {
		_ = setBuffers(a.Fd, l.cfg) // fails for a connection that has ended
	}
	err := l.poller.add(a.Fd, c.watched, c.slot, s.gen)
	if len(a.Answer) > 0 {
		l.opening.c, l.opening.answer = c, a.Answer
	}
	l.handler.Open(c)
	if l.opening.c == c && c.state == stateOpen {
		c.send(nil)
	}
	l.opening.c, l.opening.answer = nil, nil
	if err != nil {
		c.lost(err)
		return
	}
	if len(a.Rest) > 0 {
		c.consume(a.Rest)
	}
	if c.tls != nil && c.state == stateOpen {
		// Records that came with the handshake are in the tls.Conn or its pipe: epoll knows
		// nothing of them.
		c.decrypt(c.tls.in)
	}
}

// release gives up c's place and descriptor. Closing it takes it out of epoll: Detach left
// no second descriptor for the same socket.
func (l *Loop) release(c *Conn) {
	_ = unix.Close(int(c.fd))
	l.slots[c.slot].c = nil
	l.freeSlots = append(l.freeSlots, c.slot)
	l.live--
}

// closeAll begins the end of all connections, and hastens that of those which are ending.
func (l *Loop) closeAll() {
	l.mu.Lock()
	l.cfg.Linger = min(l.cfg.Linger, l.stopLinger)
	l.mu.Unlock()
	latest := l.now + int64(l.cfg.Linger)
	for i := range l.lingers {
		l.lingers[i].deadline = min(l.lingers[i].deadline, latest)
	}
	for i := range l.slots {
		if c := l.slots[i].c; c != nil {
			c.begin(codeGoingAway, codeGoingAway, "going away", ErrStopped)
		}
	}
}

func (l *Loop) dropAll(err error) {
	for i := range l.slots {
		if c := l.slots[i].c; c != nil {
			c.lost(err)
		}
	}
	l.tellEnded()
}

// end closes what the loop itself holds, and what was adopted after a failure.
func (l *Loop) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopping = true
	for _, a := range append(l.adopting[l.adopted:], l.inbox...) {
		_ = unix.Close(a.Fd)
	}
	l.adopting, l.inbox, l.adopted = nil, nil, 0
	l.poller.close()
}

// takeReader returns a reader for a connection that has begun a frame; giveReader takes it
// back.
func (l *Loop) takeReader() *frameReader {
	if n := len(l.readers); n > 0 {
		r := l.readers[n-1]
		l.readers = l.readers[:n-1]
		return r
	}
	return &frameReader{limit: l.cfg.MaxMessageBytes}
}

// readersKept bounds the free list: more than these are in use only in a storm.
const readersKept = 64

func (l *Loop) giveReader(r *frameReader) {
	if len(l.readers) < readersKept {
		r.reset()
		l.readers = append(l.readers, r)
	}
}
