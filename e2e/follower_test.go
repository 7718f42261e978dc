//go:build proxy

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/tickcast/tickcast/pkg/client"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// A ledger has every trade that any follower got, and every summary.
type ledger struct {
	mu     sync.Mutex
	trades map[string]map[int64]market.Trade // by symbol and seq
	sums   []market.Aggregate
}

// enter takes what a follower got in one message.
func (l *ledger) enter(events ...codec.Event) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ev := range events {
		switch ev := ev.(type) {
		case market.Aggregate:
			l.sums = append(l.sums, ev)
		case market.Trade:
			if l.trades[ev.Symbol] == nil {
				l.trades[ev.Symbol] = make(map[int64]market.Trade)
			}
			if other, ok := l.trades[ev.Symbol][ev.Seq]; ok && other != ev {
				err = fmt.Errorf("%+v here, %+v there", ev, other)
			}
			l.trades[ev.Symbol][ev.Seq] = ev
		}
	}
	return err
}

// audit compares each summary with the trades that it stands for, as far as somebody got
// all of them, and returns how many it could compare.
func (l *ledger) audit() (compared int, err error) {
	for _, sum := range l.sums {
		want := market.Aggregate{Symbol: sum.Symbol, FromSeq: sum.FromSeq, ToSeq: sum.ToSeq}
		for seq := sum.FromSeq; seq <= sum.ToSeq; seq++ {
			tr, ok := l.trades[sum.Symbol][seq]
			if !ok {
				break
			}
			if want.Count == 0 {
				want.FirstTime, want.Open, want.High, want.Low = tr.Time, tr.Price, tr.Price, tr.Price
			}
			want.LastTime, want.Close = tr.Time, tr.Price
			want.High, want.Low = max(want.High, tr.Price), min(want.Low, tr.Price)
			want.Volume += tr.Size
			want.Count++
		}
		if want.Count < sum.ToSeq-sum.FromSeq+1 {
			continue
		}
		compared++
		if d := want.Volume - sum.Volume; d*d <= 1e-18*want.Volume*want.Volume {
			want.Volume = sum.Volume // added up in another order
		}
		if sum != want {
			err = errors.Join(err, fmt.Errorf("%+v, the trades make %+v", sum, want))
		}
	}
	return compared, err
}

// An account is what a follower knows of one stream.
type account struct {
	book
	events int
}

// A gate holds up whoever passes while it is shut.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // nil while it is open
}

func (g *gate) pass() {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	if opened != nil {
		<-opened
	}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		close(g.opened)
	}
	g.opened = nil
}

// A follower is a subscriber for as long as the test lasts, over any number of connections.
// It holds all that it gets against the accounting rule, across connections too.
type follower struct {
	t      *testing.T
	name   string
	ledger *ledger
	url    string
	enc    codec.Encoding
	want   codec.Request // without After
	pace   time.Duration // that it spends on each byte, until it is in a hurry
	hurry  <-chan struct{}
	narrow bool  // its kernel holds little
	gate   *gate // shut while it reads nothing

	mu       sync.Mutex // the rest
	accounts map[market.Stream]*account
	lost     map[codec.Reason]int64
	links    int // how many it has had
	cuts     int // how many were closed for slowness
	broken   bool
}

func (f *follower) breach(err error) {
	if !f.broken { // what follows the first is its consequence
		f.t.Errorf("%s: %v", f.name, err)
	}
	f.broken = true
}

func (f *follower) account(of market.Stream) *account {
	a := f.accounts[of]
	if a == nil {
		a = new(account)
		f.accounts[of] = a
	}
	return a
}

// enter accounts for one event of a stream; the caller holds mu.
func (f *follower) enter(ev codec.Event) error {
	switch ev := ev.(type) {
	case codec.Snapshot:
		a := f.account(ev.Stream)
		if a.last != 0 {
			return fmt.Errorf("%v: snapshot behind seq %d", ev.Stream, a.last)
		}
		if ev.Event != nil {
			_, a.last = streamOf(ev.Event)
		}
	case codec.Gap:
		f.lost[ev.Reason] += ev.To - ev.From + 1
		return f.account(ev.Stream).take(ev.Stream, ev.From, ev.To)
	case market.Aggregate:
		s := market.Stream{Channel: market.ChannelTrade, Symbol: ev.Symbol}
		if ev.Count != ev.ToSeq-ev.FromSeq+1 {
			return fmt.Errorf("%+v: count", ev)
		}
		f.account(s).events++
		return f.account(s).take(s, ev.FromSeq, ev.ToSeq)
	case market.Trade, market.Quote, market.Bar:
		s, seq := streamOf(ev)
		a := f.account(s)
		a.events++
		return a.take(s, seq, seq)
	}
	return nil
}

func (f *follower) events() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.accounts {
		n += a.events
	}
	return n
}

// reads spends the follower's time on a message that it has got.
func (f *follower) reads(bytes int) {
	f.gate.pass()
	if f.pace > 0 {
		select {
		case <-f.hurry:
		case <-time.After(f.pace * time.Duration(bytes)):
		}
	}
}

// run keeps a raw follower connected until ctx ends.
func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		ln := &link{f: f}
		ws, resp, err := gws.NewClient(ln, &gws.ClientOption{
			Addr:          f.url,
			RequestHeader: http.Header{"Sec-Websocket-Protocol": {f.enc.Subprotocol()}},
			NewDialer:     func() (gws.Dialer, error) { return &net.Dialer{Control: f.control, Timeout: patience}, nil },
		})
		if err == nil {
			_ = resp.Body.Close() // empty: the connection is the follower's now
			stop := context.AfterFunc(ctx, func() { _ = ws.NetConn().Close() })
			ws.ReadLoop()
			stop()
		}
		pause := ln.bye.RetryAfter + rand.N(300*time.Millisecond)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// control narrows what the kernel takes for a follower that does not read.
func (f *follower) control(_, _ string, c syscall.RawConn) error {
	if !f.narrow {
		return nil
	}
	var err error
	return errors.Join(c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10)
	}), err)
}

// A link is one connection of a raw follower.
type link struct {
	gws.BuiltinEventHandler
	f              *follower
	greeted, acked bool
	refused        bool
	bye            codec.Bye
}

// ask goes on where the follower's earlier connections have come to.
func (ln *link) ask(ws *gws.Conn) error {
	id := int64(7)
	req := ln.f.want
	req.ID, req.After = &id, make(map[market.Stream]int64)
	for s, a := range ln.f.accounts {
		if a.last > 0 {
			req.After[s] = a.last
		}
	}
	msg, err := codec.AppendRequest(nil, codec.JSON, &req)
	if err != nil {
		return err
	}
	_ = ws.WriteMessage(gws.OpcodeText, msg) // or the connection has ended
	return nil
}

// OnMessage enters a batch into the books.
func (ln *link) OnMessage(ws *gws.Conn, m *gws.Message) {
	defer m.Close()
	f := ln.f
	f.reads(m.Data.Len())
	events, err := codec.DecodeBatch(f.enc, m.Bytes())
	err = errors.Join(err, f.ledger.enter(events...))
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.breach(err)
	}
	for _, ev := range events {
		if err := ln.enter(ws, ev); err != nil {
			f.breach(err)
		}
	}
	if ln.refused {
		_ = ws.NetConn().Close() // a node that does not know it all yet: again later
	}
}

func (ln *link) enter(ws *gws.Conn, ev codec.Event) error {
	if ln.bye.Code != 0 {
		return fmt.Errorf("%T after %+v", ev, ln.bye)
	}
	switch ev := ev.(type) {
	case codec.Hello:
		if ln.greeted {
			return errors.New("a second hello")
		}
		ln.greeted = true
		ln.f.links++
		return ln.ask(ws)
	case codec.Ack:
		if !ln.greeted || ln.acked {
			return fmt.Errorf("ack %+v", ev)
		}
		ln.acked, ln.refused = true, len(ev.Rejected) > 0
		return nil
	case codec.Error:
		if ln.acked || ev.Code != codec.CodeNoUpstream {
			return fmt.Errorf("%+v", ev)
		}
		ln.refused = true
		return nil
	case codec.Bye:
		if ev.Code == int(codec.CodeSlowConsumer) {
			ln.f.cuts++
		}
		ln.bye = ev
		return nil
	case codec.Heartbeat:
		return nil
	}
	if !ln.acked {
		return fmt.Errorf("%T before the ack", ev)
	}
	return ln.f.enter(ev)
}

// runLibrary follows as a program does that has the client library do all that.
func (f *follower) runLibrary(ctx context.Context) {
	c, err := client.Dial(ctx, f.url, client.WithBackoff(100*time.Millisecond, time.Second), client.WithBacklog(64),
		client.WithStateFunc(func(s client.StateChange) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if s.State == client.StateConnected {
				f.links++
			}
			if errors.Is(s.Err, client.ErrSlowConsumer) {
				f.cuts++
			}
		}))
	if err == nil {
		defer c.Close()
		var interval time.Duration
		if f.want.IntervalMS != nil {
			interval = time.Duration(*f.want.IntervalMS) * time.Millisecond
		}
		err = c.Subscribe(ctx, client.Subscription{
			Channels: f.want.Channels, Symbols: f.want.Symbols, Policy: client.Policy(f.want.Policy), Interval: interval,
		})
	}
	if err != nil {
		f.t.Errorf("%s: %v", f.name, err)
		return
	}
	for ev, err := range c.Events(ctx) {
		if ctx.Err() != nil {
			return
		}
		err = errors.Join(err, f.ledger.enter(ev))
		f.mu.Lock()
		if gap, ok := ev.(client.Gap); ok && gap.Reason == client.ReasonUnexplained {
			err = errors.Join(err, fmt.Errorf("%+v", gap))
		}
		if refused, ok := ev.(client.Refused); ok {
			err = errors.Join(err, refused.Err)
		}
		if err = errors.Join(err, f.enter(ev)); err != nil {
			f.breach(err)
		}
		f.mu.Unlock()
	}
}
