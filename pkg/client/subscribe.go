package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
)

// Policy is what a node does with a stream when this program does not keep up.
type Policy string

// The policies. Empty means the node's default: PolicyDropOldest for trades, PolicyConflate
// for quotes and bars.
const (
	PolicyConflate   Policy = "conflate"    // the latest event of each stream; not for trades
	PolicyDropOldest Policy = "drop_oldest" // the newest, and a Gap
	PolicyDropNewest Policy = "drop_newest" // the oldest, and a Gap
	PolicyAggregate  Policy = "aggregate"   // an Aggregate of what did not fit; for trades only
	PolicyDisconnect Policy = "disconnect"  // everything, until the node cuts the link
)

// Subscription asks for the streams of each of Channels and each of Symbols.
type Subscription struct {
	Channels []Channel
	// Symbols are exact names, or [Wildcard] alone.
	Symbols []string
	// Interval is the least time between two events of a quote or bar stream, and the most
	// that trades wait for company; up to a minute, in whole milliseconds. 0 leaves it to
	// the node, <0 asks for none.
	Interval time.Duration
	Policy   Policy
	// After holds the seqs up to which the program has some of the streams, from an earlier
	// run. Those streams have no Snapshot and go on behind the seq.
	After map[Stream]int64
}

func (s Subscription) requests() ([]codec.Request, error) {
	bad := func(format string, args ...any) ([]codec.Request, error) {
		return nil, &Error{Code: int(codec.CodeBadRequest), Message: fmt.Sprintf(format, args...)}
	}
	w := want{intervalMS: -1, policy: s.Policy}
	switch {
	case s.Interval < 0:
		w.intervalMS = 0
	case s.Interval > 0 && s.Interval < time.Millisecond:
		return bad("interval %s is below 1ms", s.Interval)
	case s.Interval > 0:
		w.intervalMS = s.Interval.Milliseconds()
	}
	if len(s.Symbols) == 0 || len(s.Channels) == 0 {
		return bad("a subscription needs channels and symbols")
	}
	if len(s.Symbols) > 1 && slices.Contains(s.Symbols, Wildcard) {
		return bad("the wildcard stands alone in a subscription's symbols")
	}
	channels, err := setOf(s.Channels)
	if err != nil {
		return nil, err
	}
	if s.Symbols[0] != Wildcard {
		return split(codec.OpSubscribe, w, channels, s.Symbols, s.After), nil
	}
	q := w.request(codec.OpSubscribe, channels.list())
	q.Symbols, q.After = s.Symbols, s.After
	return []codec.Request{q}, nil
}

func setOf(channels []Channel) (set channelSet, err error) {
	for _, ch := range channels {
		if ch > ChannelBar {
			return 0, &Error{Code: int(codec.CodeBadRequest), Message: fmt.Sprintf("%v is no channel", ch)}
		}
		set |= 1 << ch
	}
	return set, nil
}

// Subscribe asks for streams, in addition to those that the client has; a stream that it has
// already gets the new interval and policy. It returns when the node has answered, while
// disconnected when one has that the client reached again. Events then come by
// [Client.Events], which need not be running.
//
// If the node does not give some of the symbols, the error is a *[RejectedError] and the
// others are subscribed. If it refuses the whole request, the error is an *[Error]. If ctx
// ends first, it is open whether the streams are subscribed.
func (c *Client) Subscribe(ctx context.Context, s Subscription) error {
	requests, err := s.requests()
	if err != nil {
		return err
	}
	rejected, err := c.ask(ctx, requests)
	if err != nil {
		return err
	}
	if len(rejected) > 0 {
		all := make(map[string]*Error, len(rejected))
		for symbol, code := range rejected {
			all[symbol] = codeError(code)
		}
		return &RejectedError{Symbols: all}
	}
	return nil
}

// Unsubscribe ends streams; [Wildcard] alone ends all of the channels. A stream that the
// client does not have is no error. When it returns nil the node sends no more of them, but
// events that came before may still wait to be taken.
func (c *Client) Unsubscribe(ctx context.Context, channels []Channel, symbols ...string) error {
	set, err := setOf(channels)
	if err != nil {
		return err
	}
	if set == 0 || len(symbols) == 0 {
		return &Error{Code: int(codec.CodeBadRequest), Message: "what to end needs channels and symbols"}
	}
	_, err = c.ask(ctx, split(codec.OpUnsubscribe, want{}, set, symbols, nil))
	return err
}

// Stats asks for a [Stat] among the events every so often, from 10 ms to an hour; 0 ends
// them. The client asks again after a reconnect.
func (c *Client) Stats(ctx context.Context, every time.Duration) error {
	_, err := c.ask(ctx, []codec.Request{{Op: codec.OpStats, EveryMS: every.Milliseconds()}})
	return err
}

// An ask is a request without an answer yet. It outlives connections if somebody waits.
type ask struct {
	id      int64
	req     codec.Request
	message []byte
	own     bool        // made by the client to go on after a reconnect
	link    *link       // where it was sent; nil before
	answers chan answer // holds one; nil if nobody waits
}

type answer struct {
	rejected map[string]codec.Code
	err      error
}

// ask sends requests and waits for their answers.
func (c *Client) ask(ctx context.Context, requests []codec.Request) (rejected map[string]codec.Code, err error) {
	c.backlog.hurry(1)
	defer c.backlog.hurry(-1)
	asks := make([]*ask, 0, len(requests))
	for _, q := range requests {
		a, err := c.newAsk(q)
		if err != nil {
			return nil, err
		}
		a.answers = make(chan answer, 1)
		asks = append(asks, a)
	}
	c.mu.Lock()
	c.asks = append(c.asks, asks...)
	c.mu.Unlock()
	c.sendWaiting()

	rejected = make(map[string]codec.Code)
	for _, a := range asks {
		select {
		case got := <-a.answers:
			err = errors.Join(err, got.err)
			for symbol, code := range got.rejected {
				rejected[symbol] = code
			}
		case <-ctx.Done():
			c.abandon(asks)
			return nil, ctx.Err()
		case <-c.done:
			return nil, c.cause
		}
	}
	return rejected, err
}

func (c *Client) newAsk(q codec.Request) (*ask, error) {
	c.mu.Lock()
	c.lastID++
	a := &ask{id: c.lastID, req: q}
	c.mu.Unlock()
	a.req.ID = &a.id
	var err error
	if a.message, err = codec.AppendRequest(nil, codec.MsgPack, &a.req); err != nil {
		var bad *codec.RequestError
		if errors.As(err, &bad) {
			return nil, &Error{Code: int(bad.Code), Message: bad.Message}
		}
		return nil, err
	}
	if len(a.message) > codec.MaxRequestBytes {
		return nil, &Error{Code: int(codec.CodeBadRequest), Message: fmt.Sprintf("a request of %d bytes, more than %d", len(a.message), codec.MaxRequestBytes)}
	}
	return a, nil
}

// sendWaiting sends what no connection has been asked yet, if there is one that may be.
func (c *Client) sendWaiting() {
	c.sending.Lock() // so that requests leave in the order in which they were asked
	defer c.sending.Unlock()
	c.mu.Lock()
	ln := c.link
	var out []*ask
	for _, a := range c.asks {
		if ln != nil && a.link == nil {
			a.link = ln
			out = append(out, a)
		}
	}
	c.mu.Unlock()
	for _, a := range out {
		ln.send(a.message)
	}
}

// abandon forgets the asks that were not sent, and lets the others end with their connection.
func (c *Client) abandon(asks []*ask) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range asks {
		a.answers = nil
	}
	c.asks = slices.DeleteFunc(c.asks, func(a *ask) bool { return a.answers == nil && a.link == nil })
}

// answered carries out what the answer to a request means. The caller holds mu. It returns
// what the program must be told.
func (c *Client) answered(ln *link, id *int64, rejected map[string]codec.Code, refused *Error) (tell []Event) {
	i := slices.IndexFunc(c.asks, func(a *ask) bool { return id != nil && a.id == *id && a.link == ln })
	if i < 0 {
		return nil
	}
	a := c.asks[i]
	c.asks = slices.Delete(c.asks, i, i+1)
	switch {
	case a.req.Op == codec.OpAuth:
		ln.authAnswered(refused)
	case a.req.Op == codec.OpStats && refused == nil:
		c.statsEvery = a.req.EveryMS
	case a.own && a.req.Op == codec.OpSubscribe:
		tell = c.resumed(ln, a.req, rejected, refused)
	case refused == nil:
		c.granted(a.req, rejected)
	}
	if a.answers != nil {
		got := answer{rejected: rejected}
		if refused != nil {
			got.err = refused
		}
		a.answers <- got
	}
	return tell
}

// granted enters into the books what a node has granted or ended.
func (c *Client) granted(q codec.Request, rejected map[string]codec.Code) {
	w := want{intervalMS: -1, policy: Policy(q.Policy)}
	if q.IntervalMS != nil {
		w.intervalMS = *q.IntervalMS
	}
	for _, symbol := range q.Symbols {
		if _, no := rejected[symbol]; no {
			continue
		}
		for _, ch := range q.Channels {
			s := Stream{Channel: ch, Symbol: symbol}
			if q.Op == codec.OpUnsubscribe {
				c.books.remove(s)
				continue
			}
			c.books.add(s, w)
		}
	}
	for s, seq := range q.After {
		if c.books.has(s) {
			c.books.begin(s, seq)
		}
	}
}

// resumed looks at the answer to a request that the client made by itself. What the node does
// not allow has ended; what it does not know yet, as after a restart, is asked for again.
func (c *Client) resumed(ln *link, q codec.Request, rejected map[string]codec.Code, refused *Error) (tell []Event) {
	for _, symbol := range q.Symbols {
		code, no := rejected[symbol]
		err := codeError(code)
		if refused != nil {
			no, err = true, refused
		}
		if !no {
			continue
		}
		for _, ch := range q.Channels {
			s := Stream{Channel: ch, Symbol: symbol}
			if !c.books.wants(s) {
				continue
			}
			switch codec.Code(err.Code) {
			case codec.CodeTooManySymbols:
				if c.books.unname(s) {
					tell = append(tell, Refused{Stream: s, Err: err})
				}
			case codec.CodeForbidden, codec.CodeBadRequest:
				c.books.remove(s)
				tell = append(tell, Refused{Stream: s, Err: err})
			default:
				ln.missing[s] = struct{}{}
				signal(ln.nudge)
			}
		}
	}
	return tell
}
