package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/tickcast/tickcast/bench/internal/plan"
)

// planCmd forecasts.
type planCmd struct {
	Subscribers  int           `default:"10000" help:"How many."`
	Symbols      int           `default:"10" help:"Symbols that each is subscribed to."`
	Market       int           `default:"1000" help:"Symbols that there are."`
	Rate         float64       `default:"10000" help:"Events a second over the whole market."`
	EventBytes   int           `default:"64" help:"Size of an event."`
	Window       time.Duration `default:"5ms" help:"The batching window, or the subscribers' interval_ms where that is longer."`
	TLS          bool          `help:"Subscribers connect by wss://."`
	History      time.Duration `default:"60s" help:"How long a node keeps trades, up to its --history-bytes."`
	Target       float64       `default:"0.6" help:"Share of a node's cores that may be busy."`
	Cores        int           `default:"4" help:"Cores of a node."`
	Connections  int           `default:"15000" help:"Connections that a node takes at most: --max-connections."`
	Coefficients string        `default:"bench/results/coefficients.json" help:"What calibrate found."`
	JSON         bool          `name:"json" help:"Print the result as JSON."`
	Check        check         `embed:"" group:"Check"`
}

func (p *planCmd) load() *plan.Load {
	return &plan.Load{
		Subscribers: p.Subscribers, Symbols: p.Symbols, Market: p.Market, Rate: p.Rate, EventBytes: p.EventBytes,
		Window: p.Window, TLS: p.TLS, History: p.History, Target: p.Target, Cores: p.Cores, Connections: p.Connections,
	}
}

// Validate reports what is wrong with the options.
func (p *planCmd) Validate() error { return errors.Join(p.load().Validate(), p.Check.validate()) }

// Run implements the command.
func (p *planCmd) Run(ctx context.Context) error {
	file, err := plan.ReadFile(p.Coefficients)
	if err != nil {
		return err
	}
	if p.Check.Check {
		return p.Check.run(ctx, file, p.Coefficients)
	}
	f, err := file.Forecast(p.load())
	if err != nil {
		return err
	}
	if p.JSON {
		return json.NewEncoder(os.Stdout).Encode(f)
	}
	p.print(os.Stdout, file, &f)
	return nil
}

func (p *planCmd) print(out io.Writer, c *plan.File, f *plan.Forecast) {
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
	row("coefficients", "%s", describe(&c.Coefficients))
	row("measured on", "%s", c.Stamp)
	if c.Check != nil {
		row("checked", "CPU off by at most %.0f %% on %d other loads", c.Check.Worst(), len(c.Check.Rows))
	} else {
		row("checked", "never: plan --check does")
	}
	_ = w.Flush()
}

func describe(c *plan.Coefficients) string {
	return fmt.Sprintf("%.2f us a message, %.0f ns an event, %.0f ns an event received, %.1f us a wake-up, %.1f us a second and %.1f KiB a connection, %.1f KiB a symbol, %.0f bytes an event kept, %.0f MiB a node; with TLS %.2f us more a message, %.2f ns a byte, %.1f KiB a connection",
		c.FrameUS, c.TickNS, c.IngestNS, c.WakeUS, c.ConnUS, c.ConnBytes/1024, c.StreamBytes/1024, c.EventBytes, c.BaseBytes/(1<<20), c.TLSFrameUS, c.TLSByteNS, c.TLSConnBytes/1024)
}
