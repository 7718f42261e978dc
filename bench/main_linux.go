// Bench measures tickcast from outside, as its subscribers see it.
//
//	go run ./bench --help
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	var cli struct {
		Load      load       `cmd:"" help:"Subscribe many times over and count what comes."`
		Floor     floorCmd   `cmd:"" help:"Serve by the bare loop that only writes frames: the price of the kernel."`
		Compare   compareCmd `cmd:"" help:"Set tickcast beside the floor and gws, at 1 to 250 ticks a message."`
		Peers     peersCmd   `cmd:"" help:"Set tickcast beside other WebSocket libraries and nats-server."`
		Prove     proveCmd   `cmd:"" help:"Hold memory, accepting, ingest, latency and growth to what was promised of them."`
		Verify    verify     `cmd:"" help:"Hold a running node to the accounting rule, with slow readers and reconnections."`
		Plan      planCmd    `cmd:"" help:"Forecast nodes, cores, memory and bandwidth for a load."`
		Calibrate calibrate  `cmd:"" help:"Measure on this machine what plan reckons with."`
		Report    reportCmd  `cmd:"" help:"Make a page with plots from results, and the repository's tables of them."`
		Crowd     crowdCmd   `cmd:"" hidden:"" help:"Connect all at once."`
		Rival     rivalCmd   `cmd:"" hidden:"" help:"Serve by another library."`
		Share     shareCmd   `cmd:"" hidden:"" help:"One process of a load."`
		Source    sourceCmd  `cmd:"" hidden:"" help:"NATS and a feed of the benchmark's market."`
	}
	k := kong.Must(&cli, kong.Name("bench"), kong.Description("Measures a running tickcast from outside."), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	kctx, err := k.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", oneLine(err))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	kctx.BindTo(ctx, (*context.Context)(nil))
	switch err := kctx.Run(); {
	case err == nil:
	case ctx.Err() != nil: // what else went wrong, went wrong by that
		fmt.Fprintln(os.Stderr, "bench: interrupted")
		os.Exit(1)
	default:
		fmt.Fprintln(os.Stderr, "bench:", oneLine(err))
		os.Exit(1)
	}
}

func oneLine(err error) string {
	return strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
}
