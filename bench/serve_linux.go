package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/bench/internal/floor"
	"github.com/tickcast/tickcast/bench/internal/host"
	"github.com/tickcast/tickcast/bench/internal/tape"
	"github.com/tickcast/tickcast/pkg/bus"
	"github.com/tickcast/tickcast/pkg/feed"
)

// A work is the trades that a server serves.
type work struct {
	Market int           `default:"100" help:"Symbols of the market; they trade by turns."`
	Rate   float64       `default:"1000" help:"Trades a second over all symbols."`
	Window time.Duration `default:"10ms" help:"What happens in this time leaves in one message; 0 sends each trade at once."`
}

// Validate reports what is wrong with the options.
func (w *work) Validate() error {
	if w.Market < 1 || !(w.Rate > 0) || w.Window < 0 {
		return errors.New("--market and --rate must be above 0, --window not below")
	}
	return nil
}

// args are the options that make it again.
func (w *work) args() []string {
	return []string{"--market", strconv.Itoa(w.Market), "--rate", fmt.Sprint(w.Rate), "--window", w.Window.String()}
}

// floorCmd serves by the bare loop, until it is interrupted.
type floorCmd struct {
	work
	Addr        string `default:"127.0.0.1:8081" help:"Where subscribers connect, at any path."`
	Loops       int    `help:"Event loops; one per core if 0." placeholder:"N"`
	UpgradeOnly bool   `hidden:"" help:"Accept and upgrade, and do nothing more."`
}

// Validate reports what is wrong with the options.
func (c *floorCmd) Validate() error {
	if c.Loops < 0 {
		return errors.Join(c.work.Validate(), fmt.Errorf("--loops %d is below 0", c.Loops))
	}
	return c.work.Validate()
}

// Run implements the command.
func (c *floorCmd) Run(ctx context.Context) error {
	if c.Loops == 0 {
		c.Loops = len(host.Cores())
	}
	ln, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("--addr: %w", err)
	}
	fmt.Printf("ready addr=%s\n", ln.Addr())
	if c.UpgradeOnly {
		return floor.Upgrade(ctx, ln.(*net.TCPListener))
	}
	return floor.Serve(ctx, ln, floor.Config{Symbols: tape.Symbols(c.Market), Rate: c.Rate, Window: c.Window}, c.Loops)
}

// sourceCmd is NATS and a feed in one process: everything that a node needs which is not the
// node.
type sourceCmd struct {
	work
	AtOnce bool `help:"Publish each trade by itself, and stamp it then."`
	Random bool `help:"Each trade is of a symbol by chance, not of the next one."`
}

// Run implements the command.
func (c *sourceCmd) Run(ctx context.Context) error {
	b, err := bus.Connect(ctx, bus.Config{Servers: bus.Embedded, Listen: "127.0.0.1:0", Name: "bench"})
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Ready(ctx); err != nil {
		return err
	}
	fmt.Printf("ready nats=%s\n", b.Status().URL)
	var cfg feed.Config
	if c.AtOnce {
		cfg.Window = -1
	}
	source := &tape.Source{Symbols: tape.Symbols(c.Market), Rate: c.Rate, Stamp: c.AtOnce, Random: c.Random}
	return feed.New(source, b, cfg, zap.NewNop()).Run(ctx)
}
