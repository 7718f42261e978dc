package fleet

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tickcast/tickcast/bench/internal/wire"
)

// Config says what a Fleet does. URL, Members, ConnectRate and Dialect are required.
type Config struct {
	URL         *url.URL
	Dialect     Dialect
	Members     []Member
	First       int // number of the first member, where several processes share a load
	ConnectRate float64
	TLS         *tls.Config
	Deflate     bool
	Header      http.Header // of the upgrade request
	// ReadRate is what a throttled member reads, in bytes a second.
	ReadRate int
	// Nap is how long the loop sleeps before it looks what has come. It makes latencies
	// longer, and everything cheaper: a server on the same machine does not pay for waking
	// the loop with every message, as it would not with subscribers elsewhere. 0 = never.
	Nap time.Duration
	// StormEvery and StormShare: each time, so large a share of the members leaves at once
	// and comes again at ConnectRate. 0 = never.
	StormEvery time.Duration
	StormShare float64
	// Again has members whose connection ended, or could not be opened, come again.
	Again bool
}

// A Fleet is one process's subscribers.
type Fleet struct {
	cfg        Config
	epoll      int
	event      int // wakes the loop
	done       chan struct{}
	dialing    sync.WaitGroup
	connecting chan struct{} // places for handshakes at once

	mu    sync.Mutex
	inbox []func()

	// loop
	conns    []*conn // by member
	open     int
	ready    int // have got their ack
	stopping bool
	buf      []byte
	inflate  inflater
	rng      *rand.Rand
	counted  time.Time
	storm    time.Time
	turn     time.Time // of the last look at slow members
	seen     Report
}

// A Report is what a Fleet has seen since it was last taken.
type Report struct {
	wire.Tally
	WireBytes int64         `json:"wire_bytes"` // with the answers to upgrades
	Seconds   float64       `json:"seconds"`
	Open      int           `json:"open"`
	Ready     int           `json:"ready"` // subscriptions answered
	Failed    int64         `json:"failed"`
	LastError string        `json:"last_error,omitempty"`
	Closes    map[int]int64 `json:"closes"`    // by close code; 1006 without one
	Latency   Hist          `json:"latency"`   // of members that read as they should
	Connect   Hist          `json:"connect"`   // from dialling to the upgrade's answer
	Subscribe Hist          `json:"subscribe"` // from the request to its ack
	// WorstPause is the longest time, in us, between two messages of a member that reads as
	// it should.
	WorstPause int64 `json:"worst_pause"`
}

// NewReport returns one of nothing.
func NewReport() Report {
	return Report{Closes: map[int]int64{}, Latency: NewHist(), Connect: NewHist(), Subscribe: NewHist()}
}

// Add adds what another Fleet saw in the same time.
func (r *Report) Add(o *Report) {
	if r.Closes == nil {
		*r = NewReport()
	}
	r.Tally.Add(&o.Tally)
	r.WireBytes += o.WireBytes
	r.Seconds = max(r.Seconds, o.Seconds)
	r.Open += o.Open
	r.Ready += o.Ready
	r.Failed += o.Failed
	if o.LastError != "" {
		r.LastError = o.LastError
	}
	for code, n := range o.Closes {
		r.Closes[code] += n
	}
	r.WorstPause = max(r.WorstPause, o.WorstPause)
	r.Latency.Merge(o.Latency.Histogram)
	r.Connect.Merge(o.Connect.Histogram)
	r.Subscribe.Merge(o.Subscribe.Histogram)
}

// handshakesMax is how many connections are being opened at once.
const handshakesMax = 128

// New starts the loop. Close ends it.
func New(cfg Config) (*Fleet, error) {
	f := &Fleet{
		cfg: cfg, done: make(chan struct{}), connecting: make(chan struct{}, handshakesMax),
		conns: make([]*conn, len(cfg.Members)), buf: make([]byte, 256<<10),
		rng: rand.New(rand.NewPCG(uint64(cfg.First), 1)), seen: NewReport(), counted: time.Now(),
	}
	var err error
	if f.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("fleet: epoll_create1: %w", err)
	}
	if f.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("fleet: eventfd: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: -1}
	if err := unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, f.event, &ev); err != nil {
		return nil, fmt.Errorf("fleet: epoll_ctl: %w", err)
	}
	go f.run()
	return f, nil
}

// Close drops what is open and returns when nothing of the Fleet is left.
func (f *Fleet) Close() {
	f.do(func() { f.stopping = true })
	<-f.done
	f.dialing.Wait()
	for _, late := range f.inbox { // connected while the loop ended
		late()
	}
	for _, c := range f.conns {
		if c != nil {
			f.drop(c, 0)
		}
	}
	_ = unix.Close(f.event)
	_ = unix.Close(f.epoll)
}

// do has the loop call g soon.
func (f *Fleet) do(g func()) {
	f.mu.Lock()
	f.inbox = append(f.inbox, g)
	first := len(f.inbox) == 1
	f.mu.Unlock()
	if first {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		_, _ = unix.Write(f.event, one[:])
	}
}

// Inside calls g while the loop does nothing else, and returns when it has, or when the
// Fleet is closed. What a Dialect keeps can be looked at there.
func (f *Fleet) Inside(g func()) {
	called := make(chan struct{})
	f.do(func() {
		g()
		close(called)
	})
	select {
	case <-called:
	case <-f.done:
	}
}

// Take returns what was seen since the last Take.
func (f *Fleet) Take() Report {
	r := NewReport()
	f.Inside(func() {
		now := time.Now()
		r, f.seen = f.seen, NewReport()
		r.Open, r.Ready, r.Seconds = f.open, f.ready, now.Sub(f.counted).Seconds()
		f.counted = now
	})
	return r
}

// answerTimeout bounds how long Connect waits for acks once all are connected.
const answerTimeout = 15 * time.Second

// Connect opens all members at the configured pace, and returns when each has been answered
// or has failed, when those that have not been answered are late, or when ctx ends. What was
// seen meanwhile stays to be taken.
func (f *Fleet) Connect(ctx context.Context) error {
	var tried sync.WaitGroup // not f.dialing: members may be coming again all the time
	for i := range f.cfg.Members {
		if i > 0 {
			f.pace(ctx, i)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		tried.Add(1)
		f.dial(i, tried.Done)
	}
	tried.Wait()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	late := time.After(answerTimeout)
	for {
		settled := false
		if f.Inside(func() { settled = f.ready >= f.open }); settled {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-late:
			return nil
		case <-look.C:
		}
	}
}

func (f *Fleet) pace(ctx context.Context, n int) {
	if every := max(1, int(f.cfg.ConnectRate/200)); n%every == 0 { // 200 steps a second
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(float64(every) / f.cfg.ConnectRate * 1e9)):
		}
	}
}

const waitMS = 100

// run is the loop: it reads what has come and does what it is asked to.
func (f *Fleet) run() {
	defer close(f.done)
	events := make([]unix.EpollEvent, 1024)
	for !f.stopping {
		if f.cfg.Nap > 0 {
			time.Sleep(f.cfg.Nap)
		}
		n, err := unix.EpollWait(f.epoll, events, waitMS)
		if err != nil && err != unix.EINTR {
			panic(fmt.Sprintf("fleet: epoll_wait: %v", err))
		}
		now := time.Now()
		for i := range max(n, 0) {
			if ev := &events[i]; ev.Fd >= 0 {
				f.serve(f.conns[ev.Fd], ev.Events, now)
			}
		}
		f.mu.Lock()
		work := f.inbox
		f.inbox = nil
		f.mu.Unlock()
		for _, g := range work {
			g()
		}
		f.slowTurn(now)
	}
}

// againAfter is how long a member whose connection ended stays away.
const againAfter = 200 * time.Millisecond

// again dials a member that was lost, soon, if that is wanted.
func (f *Fleet) again(number int) {
	if !f.cfg.Again || f.stopping {
		return
	}
	f.dialing.Go(func() {
		select {
		case <-f.done:
		case <-time.After(againAfter):
			f.dial(number, func() {})
		}
	})
}

// storming drops a share of the members and has them come again.
func (f *Fleet) storming(now time.Time) {
	if f.cfg.StormEvery <= 0 || f.ready < len(f.cfg.Members) && f.storm.IsZero() {
		return
	}
	if f.storm.IsZero() {
		f.storm = now
	}
	if now.Sub(f.storm) < f.cfg.StormEvery {
		return
	}
	f.storm = now
	var again []int
	for i, c := range f.conns {
		if c != nil && f.rng.Float64() < f.cfg.StormShare {
			f.drop(c, 0)
			again = append(again, i)
		}
	}
	f.dialing.Go(func() {
		for n, i := range again {
			f.pace(context.Background(), n+1)
			select {
			case <-f.done:
				return
			default:
				f.dial(i, func() {})
			}
		}
	})
}
