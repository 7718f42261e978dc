package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tickcast/tickcast/bench/internal/contest"
	"github.com/tickcast/tickcast/bench/internal/host"
)

// matrix is the options that compare and peers share.
type matrix struct {
	Subscribers []int         `help:"Numbers of subscribers." placeholder:"N"`
	Ticks       []int         `help:"Ticks in a message." placeholder:"N"`
	Symbols     []int         `default:"10" help:"Symbols of each subscriber."`
	Market      []int         `default:"100" help:"Symbols that there are, in all."`
	Servers     []string      `help:"Which servers; floor is what others are compared with." placeholder:"NAME"`
	Repeats     int           `default:"5" help:"Times that each server is measured in each cell, by turns."`
	Duration    time.Duration `default:"3s" help:"How long each is measured."`
	Warmup      time.Duration `default:"1s" help:"How long its subscribers have been there by then."`
	Tries       int           `default:"3" help:"Times that a run is measured, at most, while others keep the server from its core for over 10 % of the time."`
	Frames      int           `default:"50000" help:"Messages a second over all subscribers: sets the window."`
	ConnectRate float64       `default:"2000" help:"Connections opened a second."`
	Nap         time.Duration `default:"2ms" help:"The load looks only so often what has come, so that servers do not pay for waking it."`
	ServerCore  int           `default:"0" help:"The core of the server; NATS, feed and load have the others."`
	Streamer    string        `type:"existingfile" help:"The streamer to measure; built from this module if empty." placeholder:"FILE"`
	Out         string        `default:"bench/results" help:"Folder for the result; none if empty."`
	Name        string        `help:"Name of the result; made of the day and the commit if empty." placeholder:"NAME"`
}

// Validate reports what is wrong with the options.
func (m *matrix) Validate() error {
	var errs []error
	for _, name := range m.Servers {
		if !slices.Contains(serverNames(), name) {
			errs = append(errs, fmt.Errorf("--servers: no %q; there are %s", name, strings.Join(serverNames(), ", ")))
		}
	}
	for _, o := range []struct {
		name   string
		values []int
	}{
		{"subscribers", m.Subscribers}, {"ticks", m.Ticks}, {"symbols", m.Symbols}, {"market", m.Market},
		{"repeats", []int{m.Repeats}}, {"tries", []int{m.Tries}}, {"frames", []int{m.Frames}},
	} {
		if slices.ContainsFunc(o.values, func(n int) bool { return n < 1 }) {
			errs = append(errs, fmt.Errorf("--%s %v: must be above 0", o.name, o.values))
		}
	}
	if len(m.Symbols) > 0 && len(m.Market) > 0 && slices.Max(m.Symbols) > slices.Min(m.Market) {
		errs = append(errs, fmt.Errorf("--symbols %v: --market has %v", m.Symbols, m.Market))
	}
	if m.Duration <= 0 || !(m.ConnectRate > 0) {
		errs = append(errs, errors.New("--duration and --connect-rate must be above 0"))
	}
	if m.Warmup < 0 || m.Nap < 0 {
		errs = append(errs, errors.New("--warmup and --nap must not be below 0"))
	}
	return errors.Join(append(errs, checkCore(m.ServerCore))...)
}

// compareCmd sets tickcast beside the floor and gws.
type compareCmd struct {
	matrix
}

// Run implements the command.
func (c *compareCmd) Run(ctx context.Context) error {
	return c.run(ctx, "compare", []int{1000, 5000}, []int{1, 5, 50, 250}, []string{contest.Floor, "tickcast-epoll", "tickcast-goroutine", contest.GWS})
}

// peersCmd sets tickcast beside what else one could build upon.
type peersCmd struct {
	matrix
}

// Run implements the command.
func (c *peersCmd) Run(ctx context.Context) error {
	return c.run(ctx, "peers", []int{1000}, []int{5, 50},
		[]string{contest.Floor, "tickcast-epoll", "tickcast-goroutine", contest.GWS, "gws-broadcast", "gobwas", "coder", natsServer})
}

func (m *matrix) run(ctx context.Context, kind string, subscribers, ticks []int, names []string) error {
	if len(m.Subscribers) > 0 {
		subscribers = m.Subscribers
	}
	if len(m.Ticks) > 0 {
		ticks = m.Ticks
	}
	if len(m.Servers) > 0 {
		names = m.Servers
	}
	var cells []contest.Cell
	for _, all := range m.Market {
		for _, each := range m.Symbols {
			for _, n := range subscribers {
				for _, t := range ticks {
					cells = append(cells, contest.Cell{Subscribers: n, Ticks: t, FramesPerSecond: m.Frames, PerMember: each, Market: all})
				}
			}
		}
	}
	if err := makeOut(m.Out); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d cells, %d servers, %d repeats: some %s\n", len(cells), len(names), m.Repeats, m.estimate(cells, len(names)))
	result := contest.Result{Kind: kind, Stamp: host.NewStamp(commandLine()), Repeats: m.Repeats, Servers: map[string]string{}}
	for _, name := range names {
		result.Servers[name] = newServer(name, "", "").What
	}
	var err error
	if result.Rows, err = m.contest(ctx, cells, names); err != nil {
		return err
	}
	if m.Out != "" {
		name := m.Name
		if name == "" {
			name = kind + "-" + result.Stamp.Time.Format("2006-01-02") + "-" + strings.TrimSuffix(result.Stamp.Commit, "+")
		}
		if err := result.Write(m.Out, name); err != nil {
			return err
		}
	}
	return result.Table(os.Stdout)
}

// estimate is how long the cells take when no run has to be repeated.
func (m *matrix) estimate(cells []contest.Cell, servers int) time.Duration {
	const around = 1500 * time.Millisecond // the start, the last answers, the end
	var sum time.Duration
	for _, c := range cells {
		connect := time.Duration(float64(c.Subscribers) / m.ConnectRate * float64(time.Second))
		sum += time.Duration(m.Repeats*servers) * (around + connect + m.Warmup + m.Duration)
	}
	return sum.Round(10 * time.Second)
}

// contest runs the servers in the cells.
func (m *matrix) contest(ctx context.Context, cells []contest.Cell, names []string) ([]contest.Row, error) {
	own, rest, err := splitCores(m.ServerCore)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tickcast-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	node, err := streamer(ctx, m.Streamer, dir)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	run := contest.Contest{
		Self: self, Dir: dir, Cells: cells, Repeats: m.Repeats, Tries: m.Tries, Warmup: m.Warmup, Duration: m.Duration, Nap: m.Nap, Connect: m.ConnectRate,
		ServerOn: own, OthersOn: rest,
		Announced: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format, args...) },
	}
	for _, name := range names {
		run.Servers = append(run.Servers, newServer(name, self, node))
	}
	all, err := run.Run(ctx)
	if err != nil {
		return nil, err
	}
	return contest.Summarize(all), nil
}
