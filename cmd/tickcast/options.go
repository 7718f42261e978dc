package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/tickcast/tickcast/internal/options"
	"github.com/tickcast/tickcast/pkg/client"
)

const about = "Tickcast shows live market data in a shell. " +
	"\"sub\" prints what comes until it is interrupted, \"symbols\" lists what the node knows, \"snapshot\" prints the last events. " +
	"Every option can be set in the environment and in a YAML file too; a flag comes first, then the environment, then the file."

// opts are the program's options; docs/operations.md has the same table.
type opts struct {
	options.File

	Command string   `arg:"" enum:"sub,symbols,snapshot" help:"sub, symbols or snapshot."`
	Symbols []string `arg:"" optional:"" name:"symbol" help:"Symbols for sub and snapshot; * alone for all, with sub."`

	URL       string   `name:"url" default:"ws://localhost:8080/v1/stream" help:"The node's stream, ws:// or wss://."`
	Token     string   `help:"Token for a node that asks for one; others see a command line, so better in the environment." placeholder:"TOKEN"`
	TokenFile string   `help:"File that holds the token; read again when the node wants a new one." placeholder:"FILE"`
	Channels  []string `default:"trade,quote" help:"trade, quote, bar."`
	JSON      bool     `name:"json" help:"Print one JSON value a line, events as in the protocol."`
	Count     int64    `help:"sub: end after this many events; 0 never." placeholder:"N"`

	channels []client.Channel
}

// Validate reports every problem.
func (o *opts) Validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	u, err := url.Parse(o.URL)
	bad(err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "", "--url %q is no ws:// or wss:// URL", o.URL)
	o.channels = nil
	for _, name := range o.Channels {
		ch, ok := client.ParseChannel(name)
		bad(!ok, "--channels: %q is none of trade, quote, bar", name)
		o.channels = append(o.channels, ch)
	}
	bad(len(o.Channels) == 0, "--channels names none")
	bad(o.Token != "" && o.TokenFile != "", "--token and --token-file exclude each other")
	if o.TokenFile != "" {
		_, err := os.ReadFile(o.TokenFile)
		bad(err != nil, "--token-file: %w", err)
	}
	bad(o.Count < 0, "--count %d is below 0", o.Count)
	bad(o.Command == "symbols" && len(o.Symbols) > 0, "symbols takes no symbol, got %q", strings.Join(o.Symbols, " "))
	bad(o.Command == "", "no command: sub, symbols or snapshot") // kong would say so, but after this
	bad((o.Command == "sub" || o.Command == "snapshot") && len(o.Symbols) == 0, "%s needs a symbol, such as BTC/USD", o.Command)
	bad(o.Command == "sub" && len(o.Symbols) > 1 && slices.Contains(o.Symbols, client.Wildcard), "* stands alone")
	bad(o.Command == "snapshot" && slices.Contains(o.Symbols, client.Wildcard), "* goes with sub")
	bad(slices.Contains(o.Symbols, ""), "an empty symbol")
	bad(o.Command == "symbols" && o.Given("channels"), "--channels goes with sub and snapshot")
	bad(o.Command != "sub" && o.Count > 0, "--count goes with sub")
	return errors.Join(errs...)
}

// client returns what the SDK is to know.
func (o *opts) client() []client.Option {
	switch {
	case o.Token != "":
		return []client.Option{client.WithToken(o.Token)}
	case o.TokenFile != "":
		return []client.Option{client.WithTokenSource(func(context.Context) (client.Token, error) {
			text, err := os.ReadFile(o.TokenFile)
			return client.Token{Value: strings.TrimSpace(string(text))}, err
		})}
	}
	return nil
}
