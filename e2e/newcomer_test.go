package e2e_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tickcast/tickcast/pkg/client"
	"github.com/tickcast/tickcast/pkg/market"
)

// Newcomers are honest: one after the other they come, subscribe, take their snapshot and leave.
type newcomers struct {
	took    []time.Duration // from the first attempt to the snapshot, of those who got theirs
	refused int             // attempts
}

// String is how many got theirs, and how soon.
func (c newcomers) String() string {
	if len(c.took) == 0 {
		return fmt.Sprintf("none, %d refused", c.refused)
	}
	took := slices.Sorted(slices.Values(c.took))
	return fmt.Sprintf("%d in %v / %v, %d refused", len(took), took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond), c.refused)
}

// welcomes has newcomers come until ctx ends. It fails where the node does not take their token.
func (n *streamer) welcomes(ctx context.Context, token string) (c newcomers, err error) {
	began := time.Now()
	for ctx.Err() == nil && !errors.Is(err, client.ErrUnauthenticated) {
		err = n.welcome(ctx, token)
		switch {
		case err == nil:
			c.took = append(c.took, time.Since(began))
		case ctx.Err() == nil:
			c.refused++
		}
		pause(ctx, 50*time.Millisecond)
		if err == nil {
			began = time.Now()
		}
	}
	if ctx.Err() != nil {
		err = nil // the last one was sent home
	}
	return c, err
}

// welcome is one attempt.
func (n *streamer) welcome(ctx context.Context, token string) error {
	scheme := "ws://"
	if n.secure {
		scheme = "wss://"
	}
	c, err := client.Dial(ctx, scheme+n.addr, client.WithToken(token), client.WithTLSConfig(&tls.Config{InsecureSkipVerify: true}))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Subscribe(ctx, client.Subscription{Channels: market.AllChannels(), Symbols: few}); err != nil {
		return err
	}
	snapshots := 0
	for ev, err := range c.Events(ctx) {
		if err != nil {
			return err
		}
		if _, ok := ev.(client.Snapshot); ok {
			if snapshots++; snapshots == len(few)*len(market.AllChannels()) {
				return nil
			}
		}
	}
	return ctx.Err()
}

// pause has those who come leave room for others.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
