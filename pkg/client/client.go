package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
)

// A Client is connected to a node, or on its way to be again, until Close is called or the
// node refuses its token three times in a row.
type Client struct {
	url     *url.URL
	opts    options
	backlog *backlog
	stop    context.CancelFunc
	ready   chan struct{} // closed at the first connection
	done    chan struct{} // closed when run has returned, and cause is set
	cause   error

	sending sync.Mutex // one goroutine at a time sends what waits; taken before mu

	mu         sync.Mutex
	link       *link // nil unless requests may be sent
	asks       []*ask
	lastID     int64
	books      books
	statsEvery int64 // ms, 0 = off
}

// Dial connects to a node's stream at a ws:// or wss:// URL, of which the path is
// /v1/stream if left out, and returns when the node has greeted it and accepted its token.
// It tries once: after that, and only then, the client connects again by itself. ctx bounds
// Dial and nothing else.
//
// The error is an *[Error] where the node answered, and says by [errors.Is] what is wrong.
func Dial(ctx context.Context, rawURL string, opts ...Option) (*Client, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	o := newOptions(opts)
	c := &Client{
		url: u, opts: o, backlog: newBacklog(o.backlog), books: newBooks(),
		ready: make(chan struct{}), done: make(chan struct{}),
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	go c.run(run)
	select {
	case <-c.ready:
		return c, nil
	case <-c.done:
		return nil, c.cause
	case <-ctx.Done():
		c.Close()
		return nil, fmt.Errorf("client: connect to %s: %w", u.Host, ctx.Err())
	}
}

func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" {
		return nil, fmt.Errorf("client: %q is no ws:// or wss:// URL", raw)
	}
	if u.Path == "" {
		u.Path = "/v1/stream"
	}
	return u, nil
}

// Close says goodbye to the node and returns when every goroutine of the client has ended.
// Events that were not taken are dropped. It may be called more than once.
func (c *Client) Close() {
	c.stop()
	<-c.done
	c.backlog.empty()
}

// Events yields what comes, one event at a time, as long as the loop goes on; a later loop
// goes on where this one broke off. It yields one error, with a nil event, and ends when ctx
// does, when Close was called (ErrClosed), or when the client gave up. A broken link is no
// error: see [WithStateFunc]. Two loops at a time share the events.
func (c *Client) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			ev, err := c.next(ctx)
			if !yield(ev, err) || err != nil {
				return
			}
		}
	}
}

func (c *Client) next(ctx context.Context) (Event, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if ev, ok := c.backlog.pop(); ok {
			return ev, nil
		}
		select {
		case <-c.backlog.ready:
		case <-ctx.Done():
		case <-c.done:
			if ev, ok := c.backlog.pop(); ok {
				return ev, nil
			}
			return nil, c.cause
		}
	}
}

// refusalsMax is after how many refused tokens in a row, each fresh from its source, the
// client gives up. More than one, since a node may learn of a new key later than we.
const refusalsMax = 3

// run keeps the client connected until ctx ends.
func (c *Client) run(ctx context.Context) {
	defer close(c.done)
	failures, refusals := 0, 0
	for {
		began := time.Now()
		up, err := c.once(ctx)
		ceiling := min(c.opts.pauseMost, c.opts.pauseFirst<<min(failures, 30))
		// A link that outlived the pause before it was worth it: begin again from the first.
		if failures++; time.Since(began) > ceiling {
			failures, ceiling = 1, c.opts.pauseFirst
		}
		if refusals++; up || !errors.Is(err, ErrUnauthenticated) {
			refusals = 0 // a token that was good and ran out is replaced
		}
		if ctx.Err() != nil {
			err = ErrClosed
		}
		if ctx.Err() != nil || !c.wasReady() || refusals == refusalsMax {
			c.cause = err
			if c.wasReady() {
				c.opts.onState(StateChange{State: StateClosed, Err: err})
			}
			return
		}
		pause := rand.N(ceiling)
		var e *Error
		if errors.As(err, &e) {
			pause += e.RetryAfter
		}
		c.opts.onState(StateChange{State: StateReconnecting, Err: err, Pause: pause})
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

func (c *Client) wasReady() bool {
	select {
	case <-c.ready:
		return true
	default:
		return false
	}
}

// once is one connection, from its first packet to its last. It returns whether it was ever
// in use, and why it ended.
func (c *Client) once(ctx context.Context) (up bool, err error) {
	ln, err := c.connect(ctx)
	if err != nil {
		return false, err
	}
	alive, end := context.WithCancel(ctx)
	var tending sync.WaitGroup
	tending.Go(func() { c.tend(alive, ln) })
	ln.read()
	end()
	tending.Wait()
	c.down(ln)
	return ln.up, ln.reason()
}

// take sorts a batch: what concerns the connection is acted on, the rest is for the program.
func (c *Client) take(ln *link, events []Event) {
	if ln.hello == (codec.Hello{}) {
		hello, ok := first(events).(codec.Hello)
		if !ok || hello.Heartbeat == 0 {
			ln.fail(fmt.Errorf("%w: it begins with %#v", ErrProtocol, first(events)))
			return
		}
		ln.hello, events = hello, events[1:]
	}
	out := make([]Event, 0, len(events))
	var less codec.Code // what the token in force allows less of than the one before
	c.mu.Lock()
	for _, ev := range events {
		switch ev := ev.(type) {
		case codec.Ack:
			out = append(out, c.answered(ln, ev.ID, ev.Rejected, nil)...)
		case codec.Error:
			out = append(out, c.answered(ln, ev.ID, nil, &Error{Code: int(ev.Code), Message: ev.Message})...)
			if ev.ID == nil && less != codec.CodeForbidden {
				less = ev.Code
			}
		case codec.Bye:
			ln.bye = &ev
		case codec.Heartbeat, codec.Pong, codec.Hello:
		case Stat:
			out = append(out, ev)
		default:
			out = c.books.admit(out, ev)
		}
	}
	authed, refusal := ln.authed, ln.refusal
	c.mu.Unlock()
	switch {
	case !ln.up:
		c.greeted(ln, authed, refusal)
	case less == codec.CodeForbidden:
		c.askAgain(ln, func(Stream) bool { return true })
	case less == codec.CodeTooManySymbols:
		c.askAgain(ln, func(s Stream) bool { return s.Symbol != Wildcard })
	}
	c.backlog.put(ln.ctx, out)
}

func first(events []Event) Event {
	if len(events) == 0 {
		return nil
	}
	return events[0]
}

// greeted goes on with a link whose hello has come, once it is authenticated too.
func (c *Client) greeted(ln *link, authed bool, refusal *Error) {
	switch required := ln.hello.Auth == "required"; {
	case refusal != nil:
		ln.fail(refusal)
	case !required || authed:
		ln.up = true
		c.raise(ln)
	case ln.token.Value == "":
		ln.fail(codeError(codec.CodeUnauthenticated))
	case !ln.asked: // the header was lost on the way, in a proxy
		ln.asked = true
		c.askOwn(ln, codec.Request{Op: codec.OpAuth, Token: ln.token.Value})
	}
}

// raise asks a new link for all that the client had on others, and opens it for requests.
func (c *Client) raise(ln *link) {
	ln.conn.silence.Store(int64(2 * min(ln.hello.Heartbeat, heartbeatMax)))
	close(ln.raised)
	c.mu.Lock()
	requests := c.books.plan(ln.hello.MaxSymbols, func(Stream) bool { return true })
	if c.statsEvery > 0 {
		requests = append(requests, codec.Request{Op: codec.OpStats, EveryMS: c.statsEvery})
	}
	c.mu.Unlock()
	c.askOwn(ln, requests...)
	c.mu.Lock()
	c.link = ln
	c.mu.Unlock()
	c.sendWaiting()
	c.opts.onState(StateChange{State: StateConnected, Session: ln.hello.Session, Node: ln.hello.Node})
	if !c.wasReady() {
		close(c.ready)
	}
}

// askAgain asks a link in use for what the client has. Of a stream that is there this changes
// nothing, and the answers name each that a new token has ended, which the node tells in words
// only, and not of all.
func (c *Client) askAgain(ln *link, only func(Stream) bool) {
	c.mu.Lock()
	requests := c.books.plan(0, only)
	c.mu.Unlock()
	c.askOwn(ln, requests...)
}

// askOwn sends requests that nobody waits for.
func (c *Client) askOwn(ln *link, requests ...codec.Request) {
	for _, q := range requests {
		a, err := c.newAsk(q)
		if err != nil {
			panic(fmt.Sprintf("client: %s request of its own: %v", q.Op, err))
		}
		a.own, a.link = true, ln
		c.mu.Lock()
		c.asks = append(c.asks, a)
		c.mu.Unlock()
		ln.send(a.message)
	}
}

// down takes the link out of use. Requests that somebody waits for go out on the next one.
func (c *Client) down(ln *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link = nil
	c.asks = slices.DeleteFunc(c.asks, func(a *ask) bool {
		of := a.link == ln
		if of {
			a.link = nil
		}
		return of && a.answers == nil
	})
}
