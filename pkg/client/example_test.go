package client_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tickcast/tickcast/pkg/client"
	"github.com/tickcast/tickcast/pkg/stream"
)

func Example() {
	v := openVenue() // stands for whatever publishes the market's data
	defer v.Close()
	n := v.node(stream.Config{})
	defer n.stop()
	v.announce(n, "AAPL")

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.Dial(ctx, n.url)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	err = c.Subscribe(ctx, client.Subscription{
		Channels: []client.Channel{client.ChannelTrade},
		Symbols:  []string{"AAPL"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	trades := 0
	for ev, err := range c.Events(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		switch ev := ev.(type) {
		case client.Snapshot:
			fmt.Println("last", ev.Event)
			v.trades("AAPL", 3)
		case client.Trade:
			fmt.Println(ev.Symbol, ev.Seq, ev.Price)
			trades++
		case client.Gap:
			fmt.Println("missed", ev.From, "to", ev.To, ev.Reason)
		}
		if trades == 3 {
			break
		}
	}
	// Output:
	// last <nil>
	// AAPL 1 100.01
	// AAPL 2 100.02
	// AAPL 3 100.03
}

// Some symbols may be rejected while the others are subscribed.
func ExampleClient_Subscribe() {
	v := openVenue()
	defer v.Close()
	n := v.node(stream.Config{})
	defer n.stop()
	v.announce(n, "AAPL")

	ctx := context.Background()
	c, err := client.Dial(ctx, n.url)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	err = c.Subscribe(ctx, client.Subscription{
		Channels: []client.Channel{client.ChannelQuote},
		Symbols:  []string{"AAPL", "APPL"},
		Interval: 250 * time.Millisecond,
	})
	var rejected *client.RejectedError
	switch {
	case errors.As(err, &rejected):
		for symbol, why := range rejected.Symbols {
			fmt.Println(symbol, "is", why.Message)
		}
	case errors.Is(err, client.ErrNoUpstream):
		fmt.Println("no data yet: try again later")
	case err != nil:
		fmt.Println(err)
	}
	// Output:
	// APPL is unknown symbol
}

// A status light, and what a program may want to log.
func ExampleWithStateFunc() {
	v := openVenue()
	defer v.Close()
	n := v.node(stream.Config{Name: "node-7"})
	defer n.stop()

	c, err := client.Dial(context.Background(), n.url, client.WithStateFunc(func(s client.StateChange) {
		switch s.State {
		case client.StateConnected:
			fmt.Println("connected to", s.Node)
		case client.StateReconnecting:
			fmt.Println("lost:", s.Err, "- again in", s.Pause)
		case client.StateClosed:
			fmt.Println("over:", s.Err)
		}
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	c.Close()
	// Output:
	// connected to node-7
	// over: client: closed
}

// A source of tokens that end: the client asks it again before they do.
func ExampleWithTokenSource() {
	v := openVenue()
	defer v.Close()
	n := v.node(stream.Config{})
	defer n.stop()

	source := func(context.Context) (client.Token, error) { // would ask an issuer
		return client.Token{Value: "...", Expires: time.Now().Add(time.Hour)}, nil
	}
	c, err := client.Dial(context.Background(), n.url, client.WithTokenSource(source))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println("in")
	// Output:
	// in
}
