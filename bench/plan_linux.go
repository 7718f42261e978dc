package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/tickcast/tickcast/bench/internal/contest"
	"github.com/tickcast/tickcast/bench/internal/host"
	"github.com/tickcast/tickcast/bench/internal/plan"
)

// calibration is the file that calibrate writes and plan reads.
type calibration struct {
	Stamp host.Stamp `json:"stamp"`
	plan.Coefficients
	Test contest.Cell `json:"test"` // the load that the forecast was tried on
}

// planCmd forecasts.
type planCmd struct {
	Subscribers  int           `default:"10000" help:"How many."`
	Symbols      int           `default:"10" help:"Symbols that each is subscribed to."`
	Market       int           `default:"1000" help:"Symbols that there are."`
	Rate         float64       `default:"10000" help:"Events a second over the whole market."`
	EventBytes   int           `default:"64" help:"Size of an event."`
	Window       time.Duration `default:"5ms" help:"The batching window, or the subscribers' interval_ms where that is longer."`
	Target       float64       `default:"0.6" help:"Share of a node's cores that may be busy."`
	Cores        int           `default:"4" help:"Cores of a node."`
	Connections  int           `default:"15000" help:"Connections that a node takes at most: --max-connections."`
	Coefficients string        `default:"bench/results/coefficients.json" help:"What calibrate found."`
	JSON         bool          `name:"json" help:"Print the result as JSON."`
}

func (p *planCmd) load() *plan.Load {
	return &plan.Load{
		Subscribers: p.Subscribers, Symbols: p.Symbols, Market: p.Market, Rate: p.Rate, EventBytes: p.EventBytes,
		Window: p.Window, Target: p.Target, Cores: p.Cores, Connections: p.Connections,
	}
}

// Validate reports what is wrong with the options.
func (p *planCmd) Validate() error { return p.load().Validate() }

// Run implements the command.
func (p *planCmd) Run() error {
	text, err := os.ReadFile(p.Coefficients)
	if err != nil {
		return fmt.Errorf("%w; `go run ./bench calibrate` makes it", err)
	}
	var c calibration
	if err := json.Unmarshal(text, &c); err != nil {
		return fmt.Errorf("%s: %w", p.Coefficients, err)
	}
	f, err := c.Forecast(p.load())
	if err != nil {
		return err
	}
	if p.JSON {
		return json.NewEncoder(os.Stdout).Encode(f)
	}
	p.print(os.Stdout, &c, &f)
	return nil
}

func (p *planCmd) print(out io.Writer, c *calibration, f *plan.Forecast) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { _, _ = fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	row("nodes", "%d of %d cores, limited by %s", f.Nodes, p.Cores, f.LimitedBy)
	row("subscribers of a node", "%d", f.PerNode)
	row("messages, events", "%.0f/s, %.0f/s to the subscribers of a node", f.Frames, f.Ticks)
	row("CPU of a node", "%.2f cores, %.0f %% of it", f.CoresBusy, 100*f.CoresBusy/float64(p.Cores))
	row("CPU of all", "%.1f cores", f.CoresBusy*float64(f.Nodes))
	row("memory of a node", "%.0f MiB", f.Memory/(1<<20))
	row("egress", "%.0f Mbit/s of a node, %.0f Mbit/s of all, %.1f TB a month", f.Egress/1e6, f.EgressAll/1e6, f.MonthlyTB)
	row("NATS", "%.1f Mbit/s to a node, %.1f Mbit/s through the cluster", f.NATSPerNode/1e6, f.NATSAll/1e6)
	row("coefficients", "%.2f us a message, %.0f ns an event, %.0f ns an event received, %.1f KiB a connection", c.FrameUS, c.TickNS, c.IngestNS, c.ConnBytes/1024)
	row("measured on", "%s, commit %s; off by %.0f %% on another load", c.Stamp.CPU, c.Stamp.Commit, math.Abs(c.TestPercent))
	_ = w.Flush()
}

// calibrate measures the coefficients on this machine.
type calibrate struct {
	Repeats    int           `default:"3" help:"Times that each load is measured."`
	Duration   time.Duration `default:"4s" help:"How long each is measured."`
	Frames     int           `default:"30000" help:"Messages a second over all subscribers."`
	ServerCore int           `default:"0" help:"The core of the node; NATS, feed and subscribers have the others."`
	Streamer   string        `help:"The streamer to measure; built from this module if empty." placeholder:"FILE"`
	Out        string        `default:"bench/results/coefficients.json" help:"Where to write them."`
}

// Validate reports what is wrong with the options.
func (c *calibrate) Validate() error {
	if c.Repeats < 1 || c.Duration <= 0 || c.Frames < 1 {
		return errors.New("--repeats, --duration and --frames must be above 0")
	}
	return nil
}

// Run implements the command.
func (c *calibrate) Run(ctx context.Context) error {
	m := &matrix{Repeats: c.Repeats, Duration: c.Duration, Nap: 2 * time.Millisecond, ConnectRate: 2000, ServerCore: c.ServerCore, Streamer: c.Streamer}
	cells := []contest.Cell{
		{Subscribers: 4000, Ticks: 1, FramesPerSecond: c.Frames / 2},
		{Subscribers: 500, Ticks: 1, FramesPerSecond: c.Frames},
		{Subscribers: 1000, Ticks: 10, FramesPerSecond: c.Frames},
		{Subscribers: 2000, Ticks: 100, FramesPerSecond: c.Frames / 2},
		// One subscriber of everything: what is left is the price of receiving.
		{Subscribers: 1, Ticks: 1000, FramesPerSecond: 100, PerMember: 100},
		// Not one that the coefficients are made with.
		{Subscribers: 3000, Ticks: 30, FramesPerSecond: c.Frames * 2 / 3},
	}
	rows, err := m.contest(ctx, cells, []string{"tickcast-epoll"})
	if err != nil {
		return err
	}
	var samples []plan.Sample
	for _, r := range rows {
		samples = append(samples, sample(&r))
	}
	made, test := samples[:len(samples)-1], samples[len(samples)-1]
	coefficients, err := plan.Fit(made)
	if err != nil {
		return err
	}
	coefficients.TestPercent = coefficients.Off(test)
	coefficients.ConnBytes = rows[0].RSSPerConnection.Median
	coefficients.BaseBytes = rows[0].RSS.Median - float64(cells[0].Subscribers)*coefficients.ConnBytes
	found := calibration{Stamp: host.NewStamp(commandLine()), Coefficients: coefficients, Test: cells[len(cells)-1]}
	text, err := json.MarshalIndent(&found, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.Out), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(c.Out, append(text, '\n'), 0o644); err != nil {
		return err
	}
	fmt.Printf("%s: %.2f us a message, %.0f ns an event, %.0f ns an event received, %.1f KiB a connection; off by up to %.0f %% where it was made, by %.0f %% elsewhere\n",
		c.Out, found.FrameUS, found.TickNS, found.IngestNS, found.ConnBytes/1024, found.FitPercent, found.TestPercent)
	return nil
}

// sample turns the medians of a row into work a second.
func sample(r *contest.Row) plan.Sample {
	frames := r.MessagesPerSec.Median
	ticks := frames * r.TicksPerMessage.Median
	return plan.Sample{Frames: frames, Ticks: ticks, Ingest: r.Rate(), Cores: r.ServerCores.Median}
}
