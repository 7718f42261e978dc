package client

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
)

// fetchToken returns an empty token if the client has no source.
func (o *options) fetchToken(ctx context.Context) (Token, error) {
	if o.source == nil {
		return Token{}, nil
	}
	return o.source(ctx)
}

// renewIn returns when to renew a token: with a tenth to three tenths of its time left, so
// that clients of one issuer spread, and never in a rush, whatever the source says.
func (o *options) renewIn(t Token, now time.Time) time.Duration {
	left := t.Expires.Sub(now)
	return max(left*7/10+rand.N(max(1, left/5)), o.pauseFirst)
}

// later returns a pause in the upper half of the ceiling that the number of tries makes.
func (o *options) later(tries int) time.Duration {
	ceiling := min(o.pauseMost, o.pauseFirst<<min(tries, 30))
	return ceiling/2 + rand.N(ceiling/2+1)
}

// tend does what a link needs beside reading, until ctx ends: it asks again for what the
// node did not know, renews the token, and says goodbye.
func (c *Client) tend(ctx context.Context, ln *link) {
	var again, renew <-chan time.Time
	raised, tries, renewals := ln.raised, 0, 0
	for {
		select {
		case <-ctx.Done():
			ln.part(closeNormal)
			return
		case <-raised:
			raised = nil
			if token := ln.token; ln.hello.Auth != "none" && !token.Expires.IsZero() {
				renew = time.After(c.opts.renewIn(token, time.Now()))
			}
		case <-ln.nudge:
			if again == nil {
				again = time.After(c.opts.later(tries))
				tries++
			}
		case <-again:
			again = nil
			c.askMissing(ln)
		case <-ln.denied:
			renewals++
			renew = time.After(c.opts.later(renewals))
		case <-renew:
			token, err := c.opts.source(ctx)
			if err != nil {
				renewals++
				renew = time.After(c.opts.later(renewals))
				continue
			}
			renew = nil
			if !token.Expires.IsZero() {
				renew = time.After(c.opts.renewIn(token, time.Now()))
			}
			c.askOwn(ln, codec.Request{Op: codec.OpAuth, Token: token.Value})
		}
	}
}

// askMissing asks again for the streams that the node did not give when the link was new.
func (c *Client) askMissing(ln *link) {
	c.mu.Lock()
	missing := ln.missing
	ln.missing = make(map[Stream]struct{})
	requests := c.books.plan(ln.hello.MaxSymbols, func(s Stream) bool {
		_, ok := missing[s]
		return ok
	})
	c.mu.Unlock()
	c.askOwn(ln, requests...)
}
