package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tickcast/tickcast/bench/internal/contest"
	"github.com/tickcast/tickcast/bench/internal/host"
)

// proveCmd measures what the node is to reach beside CPU a tick, which compare measures.
type proveCmd struct {
	Parts      []string      `arg:"" optional:"" help:"memory, accept, ingest, latency, growth; all if none is named."`
	Repeats    int           `default:"5" help:"Times that each side is measured, by turns."`
	Duration   time.Duration `default:"3s" help:"How long each is measured."`
	Many       int           `default:"15000" help:"Connections of memory and growth."`
	Crowd      int           `default:"10000" help:"Connections of accept."`
	ServerCore int           `default:"0" help:"The core of the server; NATS, feed and load have the others."`
	Streamer   string        `type:"existingfile" help:"The streamer to measure; built from this module if empty." placeholder:"FILE"`
	Out        string        `default:"bench/results" help:"Folder for the result; none if empty."`
	Name       string        `help:"Name of the result; made of the day and the commit if empty." placeholder:"NAME"`
}

// A figure is one of those that were promised, with what was found.
type figure struct {
	Part string `json:"part"`
	What string `json:"what"`
	Unit string `json:"unit"`
	contest.Spread
	// Most is what was promised; 0 where the figure is there to explain another.
	Most float64 `json:"at_most,omitempty"`
}

func (f *figure) verdict() string {
	switch {
	case f.Most == 0:
		return ""
	case f.Median <= f.Most:
		return "holds"
	}
	return "MISSED"
}

// proof is what a prove found, as it is kept in a file.
type proof struct {
	Stamp   host.Stamp `json:"stamp"`
	Repeats int        `json:"repeats"`
	Figures []figure   `json:"figures"`
}

// parts are what can be proved, in this order.
var parts = []struct {
	name string
	run  func(context.Context, *proof, *theatre) error
}{
	{"memory", proveMemory}, {"accept", proveAccept}, {"ingest", proveIngest}, {"latency", proveLatency}, {"growth", proveGrowth},
}

// Validate reports what is wrong with the options.
func (c *proveCmd) Validate() error {
	var errs []error
	for _, name := range c.Parts {
		if !slices.ContainsFunc(partNames(), func(n string) bool { return n == name }) {
			errs = append(errs, fmt.Errorf("no part %q; there are %s", name, strings.Join(partNames(), ", ")))
		}
	}
	if c.Repeats < 1 || c.Duration <= 0 || c.Many < 1 || c.Crowd < 1 {
		errs = append(errs, errors.New("--repeats, --duration, --many and --crowd must be above 0"))
	}
	return errors.Join(append(errs, checkCore(c.ServerCore))...)
}

func partNames() (names []string) {
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

// Run implements the command.
func (c *proveCmd) Run(ctx context.Context) error {
	if err := makeOut(c.Out); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tickcast-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	on, err := newTheatre(ctx, c, dir)
	if err != nil {
		return err
	}
	p := &proof{Stamp: host.NewStamp(commandLine()), Repeats: c.Repeats}
	for _, part := range parts {
		if len(c.Parts) > 0 && !slices.Contains(c.Parts, part.name) {
			continue
		}
		start := time.Now()
		if err := part.run(ctx, p, on); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		on.say("%s took %s", part.name, time.Since(start).Round(time.Second))
	}
	if c.Out != "" {
		name := c.Name
		if name == "" {
			name = "prove-" + p.Stamp.Time.Format("2006-01-02") + "-" + strings.TrimSuffix(p.Stamp.Commit, "+")
		}
		if err := p.write(c.Out, name); err != nil {
			return err
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	if err := p.table(w, "", "\t", ""); err != nil {
		return err
	}
	return w.Flush()
}

// add notes a figure of several repeats, or one.
func (p *proof) add(part, what, unit string, most float64, values ...float64) {
	p.Figures = append(p.Figures, figure{part, what, unit, contest.NewSpread(values), most})
}

// table writes a line for each figure.
func (p *proof) table(w io.Writer, before, between, after string) error {
	line := func(cells ...string) error {
		_, err := io.WriteString(w, before+strings.Join(cells, between)+after+"\n")
		return err
	}
	number := func(v float64) string { return fmt.Sprintf("%.4g", v) }
	if err := line("part", "figure", "unit", "median", "least to most", "at most", ""); err != nil {
		return err
	}
	if before != "" {
		if err := line(slices.Repeat([]string{"---"}, 7)...); err != nil {
			return err
		}
	}
	for _, f := range p.Figures {
		most := ""
		if f.Most > 0 {
			most = number(f.Most)
		}
		if err := line(f.Part, f.What, f.Unit, number(f.Median), number(f.Min)+" to "+number(f.Max), most, f.verdict()); err != nil {
			return err
		}
	}
	return nil
}

// write keeps the proof as name.json and name.md.
func (p *proof) write(dir, name string) error {
	data, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	var page strings.Builder
	s := p.Stamp
	fmt.Fprintf(&page, "# %s\n\n`%s`\n\n%s, commit %s, %s, %d cores, Linux %s, %s. Medians of up to %d alternating repeats.\n\n",
		name, s.Command, s.Time.Format("2006-01-02 15:04 MST"), s.Commit, s.CPU, s.Cores, s.Kernel, s.Go, p.Repeats)
	if err := p.table(&page, "| ", " | ", " |"); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".md"), []byte(page.String()), 0o644)
}
