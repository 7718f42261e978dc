// Tickcast is a look at a node from a shell: it prints live ticks, lists symbols, and shows
// the last event of each stream.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/tickcast/tickcast/internal/options"
	"github.com/tickcast/tickcast/pkg/client"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	var o opts
	switch err := options.Read("tickcast", about, &o, args, os.Stdout); {
	case errors.Is(err, options.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "tickcast:", err)
		return options.ExitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	carryOut := map[string]func(context.Context, *opts, *printer) error{
		"sub": follow, "symbols": listSymbols, "snapshot": showSnapshots,
	}[o.Command]
	p := &printer{
		out: os.Stdout, json: o.JSON, decimals: make(map[string]int),
		colour: term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == "",
	}
	if err := carryOut(ctx, &o, p); err != nil && !errors.Is(err, context.Canceled) {
		say("%s", err)
		return 1
	}
	return 0
}

// say tells the person at the terminal something that is no data.
func say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Fprintln(os.Stderr, "tickcast:", strings.ReplaceAll(text, "client: ", "")) // the SDK's name tells nothing here
}

// dialTimeout bounds the first connection, and each page.
const dialTimeout = 10 * time.Second

func listSymbols(ctx context.Context, o *opts, p *printer) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	known, err := client.Symbols(ctx, o.URL, o.client()...)
	if err != nil {
		return err
	}
	for _, row := range known {
		if err := p.listing(row); err != nil {
			return err
		}
	}
	return nil
}

func showSnapshots(ctx context.Context, o *opts, p *printer) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	events, err := client.Snapshots(ctx, o.URL, o.channels, o.Symbols, o.client()...)
	if err != nil {
		return err
	}
	for _, ev := range events {
		if err := p.event(ev); err != nil {
			return err
		}
	}
	return nil
}

// follow prints what comes until ctx ends or there is enough, and then sums up.
func follow(ctx context.Context, o *opts, p *printer) error {
	var reconnects atomic.Int64
	told := client.WithStateFunc(func(s client.StateChange) {
		switch {
		case s.State == client.StateReconnecting:
			reconnects.Add(1)
			say("disconnected: %v; again in %s", s.Err, s.Pause.Round(time.Millisecond))
		case s.State == client.StateConnected && reconnects.Load() > 0:
			say("connected to %s", s.Node)
		}
	})
	begin, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := client.Dial(begin, o.URL, append(o.client(), told)...)
	if err != nil {
		return err
	}
	defer c.Close()
	err = c.Subscribe(begin, client.Subscription{Channels: o.channels, Symbols: o.Symbols})
	var rejected *client.RejectedError
	switch {
	case errors.As(err, &rejected) && len(rejected.Symbols) < len(o.Symbols):
		say("%s", err)
	case err != nil:
		return err
	}

	sum := newSummary(time.Now())
	defer func() { fmt.Fprintln(os.Stderr, sum.line(time.Now(), reconnects.Load())) }()
	for ev, err := range c.Events(ctx) {
		if err != nil {
			return err
		}
		if lost, ok := ev.(client.Refused); ok {
			say("%v: %v", lost.Stream, lost.Err)
			continue
		}
		if err := p.event(ev); err != nil {
			return err
		}
		if sum.add(ev); sum.events == o.Count {
			return nil
		}
	}
	return nil
}

// listing prints a symbol and its channels.
func (p *printer) listing(row client.Listing) error {
	names := make([]string, len(row.Channels))
	for i, ch := range row.Channels {
		names[i] = ch.String()
	}
	if p.json {
		return json.NewEncoder(p.out).Encode(map[string]any{"symbol": row.Symbol, "channels": names})
	}
	line := pad(row.Symbol, symbolWidth)
	for _, name := range names {
		line += " " + name
	}
	_, err := io.WriteString(p.out, line+"\n")
	return err
}
