package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tickcast/tickcast/bench/internal/contest"
	"github.com/tickcast/tickcast/bench/internal/host"
	"github.com/tickcast/tickcast/bench/internal/plan"
	"github.com/tickcast/tickcast/bench/internal/tape"
	"github.com/tickcast/tickcast/pkg/codec"
)

// trial is how calibrate and plan --check measure a node.
type trial struct {
	Repeats    int           `default:"3" help:"Times that each load is measured."`
	Duration   time.Duration `default:"4s" help:"How long each is measured."`
	Warmup     time.Duration `default:"1s" help:"How long its subscribers have been there by then."`
	Tries      int           `default:"3" help:"Times that a run is measured, at most, while others keep the node from its core for over 10 % of the time."`
	Frames     int           `default:"30000" help:"Messages a second over all subscribers, at most."`
	Scale      float64       `default:"1" help:"By how much the numbers of subscribers are multiplied."`
	ServerCore int           `default:"0" help:"The core of the node; NATS, feed and subscribers have the others."`
	Streamer   string        `type:"existingfile" help:"The streamer to measure; built from this module if empty." placeholder:"FILE"`
}

func (t *trial) validate() error {
	if t.Repeats < 1 || t.Tries < 1 || t.Duration <= 0 || t.Frames < 1 || !(t.Scale > 0) {
		return errors.New("--repeats, --tries, --duration, --frames and --scale must be above 0")
	}
	if t.Warmup < 0 {
		return errors.New("--warmup must not be below 0")
	}
	return checkCore(t.ServerCore)
}

// measure runs a node under each of the loads.
func (t *trial) measure(ctx context.Context, cells []contest.Cell) ([]contest.Row, error) {
	for i := range cells {
		cells[i].Subscribers = max(1, int(float64(cells[i].Subscribers)*t.Scale))
	}
	m := &matrix{
		Repeats: t.Repeats, Tries: t.Tries, Warmup: t.Warmup, Duration: t.Duration, Nap: 2 * time.Millisecond, ConnectRate: 2000,
		ServerCore: t.ServerCore, Streamer: t.Streamer,
	}
	fmt.Fprintf(os.Stderr, "%d loads, %d repeats: some %s\n", len(cells), t.Repeats, m.estimate(cells, 1))
	return m.contest(ctx, cells, []string{"tickcast-epoll"})
}

// calibrate measures the coefficients on this machine.
type calibrate struct {
	trial
	Out string `default:"bench/results/coefficients.json" help:"Where to write them."`
}

// Validate reports what is wrong with the options.
func (c *calibrate) Validate() error { return c.validate() }

// Run implements the command.
func (c *calibrate) Run(ctx context.Context) error {
	if err := makeOut(filepath.Dir(c.Out)); err != nil {
		return err
	}
	cells := []contest.Cell{
		{Subscribers: 4000, Ticks: 1, FramesPerSecond: c.Frames / 2},
		{Subscribers: 500, Ticks: 1, FramesPerSecond: c.Frames},
		{Subscribers: 1000, Ticks: 10, FramesPerSecond: c.Frames},
		{Subscribers: 2000, Ticks: 100, FramesPerSecond: c.Frames / 2},
		// One subscriber of everything: much, for the memory of what is kept, and little, for the
		// price of being woken.
		{Subscribers: 1, Ticks: 1000, FramesPerSecond: max(1, c.Frames/300), PerMember: 100},
		{Subscribers: 1, Ticks: 10, FramesPerSecond: max(1, c.Frames/300), PerMember: 100},
		{Subscribers: 2500, Ticks: 1, FramesPerSecond: c.Frames / 2, TLS: true},
		{Subscribers: 2500, Ticks: 50, FramesPerSecond: c.Frames / 2, TLS: true},
		// Much that each wants little of: an event received is handed to several groups of sessions.
		{Subscribers: 1000, Ticks: 5, FramesPerSecond: c.Frames * 2 / 3, PerMember: 10, Market: 1000},
	}
	const alone = 4
	rows, err := c.measure(ctx, cells)
	if err != nil {
		return err
	}
	var samples []plan.Sample
	for i := range rows {
		samples = append(samples, sample(&rows[i]))
	}
	samples[alone].Cores = 0 // it has one group of sessions, as no node has that receives so much
	found := plan.File{Stamp: host.NewStamp(commandLine())}
	if found.Coefficients, err = plan.Fit(samples); err != nil {
		return err
	}
	if err := found.Write(c.Out); err != nil {
		return err
	}
	fmt.Printf("%s: %s; off by up to %.0f %% where it was made\n", c.Out, describe(&found.Coefficients), found.FitPercent)
	return nil
}

// sample turns the medians of a row into work a second. Subscribers together get each event
// as often as there are subscribers of a symbol: what the node received is reckoned from
// that, since a busy feed may have published less than it was told to.
func sample(r *contest.Row) plan.Sample {
	frames := r.MessagesPerSec.Median
	s := plan.Sample{Connections: float64(r.Subscribers), Frames: frames, Ticks: frames * r.TicksPerMessage.Median, Cores: r.ServerCores.Median, Memory: r.RSS.Median}
	s.Ingest = s.Ticks * float64(r.All()) / float64(r.Subscribers*r.Each())
	s.Subscriptions, s.Streams, s.Kept = float64(r.Subscribers*r.Each()), float64(r.All()), s.Ingest*plan.Lived(r).Seconds()
	if r.TLS {
		s.TLSFrames, s.TLSBytes = frames, r.BytesPerSec.Median
	}
	return s
}

// check holds forecasts to loads that the coefficients were not made with.
type check struct {
	Check bool `help:"Run loads that calibrate does not know, compare, and keep what was found beside the coefficients. Fails above --tolerance."`
	trial
	Tolerance float64 `default:"20" help:"Percent by which the CPU may differ."`
}

func (c *check) validate() error { return c.trial.validate() }

// run checks the coefficients of file, and writes what it found into it.
func (c *check) run(ctx context.Context, file *plan.File, name string) error {
	rows, err := c.measure(ctx, []contest.Cell{
		{Subscribers: 1500, Ticks: 3, FramesPerSecond: c.Frames * 2 / 3, PerMember: 5, Market: 200, Random: true},
		{Subscribers: 3000, Ticks: 30, FramesPerSecond: c.Frames * 2 / 3, Random: true},
		{Subscribers: 800, Ticks: 8, FramesPerSecond: c.Frames, PerMember: 20, Market: 1000, Random: true},
		{Subscribers: 5000, Ticks: 2, FramesPerSecond: c.Frames * 3 / 4, Random: true},
		{Subscribers: 1500, Ticks: 20, FramesPerSecond: c.Frames / 2, Random: true, TLS: true},
		{Subscribers: 3000, Ticks: 3, FramesPerSecond: c.Frames / 3, PerMember: 5, Market: 200, Random: true, TLS: true},
	})
	if err != nil {
		return err
	}
	trade, _ := tape.New(tape.Symbols(1), 1, time.Now()).Next()
	event, err := codec.AppendTrade(nil, trade)
	if err != nil {
		return err
	}
	file.Check = &plan.Check{Stamp: host.NewStamp(commandLine())}
	for i := range rows {
		file.Check.Rows = append(file.Check.Rows, file.Compare(&rows[i], len(event)))
	}
	if err := file.Write(name); err != nil {
		return err
	}
	fmt.Print(file.Check.Markdown())
	if worst := file.Check.Worst(); worst > c.Tolerance {
		return fmt.Errorf("the CPU differs from its forecast by up to %.0f %%, more than --tolerance %.0f", worst, c.Tolerance)
	}
	return nil
}
