package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// load opens subscribers against a node and holds each to the accounting rule: for every
// trade stream, what is delivered plus what gaps and aggregates name is every seq once.
type load struct {
	URL         string        `default:"ws://127.0.0.1:8080/v1/stream" help:"Where the node's stream is."`
	Subscribers int           `default:"200" help:"How many connections."`
	Symbols     int           `default:"20" help:"Symbols that each subscribes to, chosen at random."`
	Channels    []string      `default:"trade,quote" help:"Channels of each symbol."`
	Encoding    string        `default:"msgpack" enum:"msgpack,json" help:"msgpack or json."`
	ConnectRate int           `default:"500" help:"Connections opened a second."`
	Duration    time.Duration `default:"30s" help:"How long to count."`
	Seed        uint64        `default:"1" help:"For the choice of symbols."`
	JSON        bool          `name:"json" help:"Print the result as JSON."`
}

// Validate reports what is wrong with the options.
func (l *load) Validate() error {
	u, err := url.Parse(l.URL)
	switch {
	case err != nil || u.Scheme != "ws" && u.Scheme != "wss":
		return fmt.Errorf("--url %q is no ws:// or wss:// URL", l.URL)
	case l.Subscribers < 1 || l.Symbols < 1 || l.ConnectRate < 1 || l.Duration <= 0:
		return errors.New("--subscribers, --symbols, --connect-rate and --duration must be above 0")
	}
	return nil
}

// result is what a run found.
type result struct {
	Command     string  `json:"command"`
	Subscribers int     `json:"subscribers"`
	Seconds     float64 `json:"seconds"`
	Events      int64   `json:"events"`
	Messages    int64   `json:"messages"`
	Bytes       int64   `json:"bytes"`
	Gaps        int64   `json:"gaps"`        // gap events
	Missed      int64   `json:"missed"`      // trades that they name
	Unaccounted int64   `json:"unaccounted"` // trades that nothing names
	Doubled     int64   `json:"doubled"`     // seqs that came again or went back
	Closed      int64   `json:"closed"`      // connections that ended during the run
	LatencyUS   struct {
		P50, P90, P99, P999, Max int64
	} `json:"latency_us"` // from a trade's own time to its receipt
	OwnCPU float64 `json:"own_cpu_seconds"`
}

// Run opens the subscribers, counts and prints.
func (l *load) Run(ctx context.Context) error {
	symbols, err := l.fetchSymbols(ctx)
	if err != nil {
		return err
	}
	if l.Symbols > len(symbols) {
		return fmt.Errorf("the node knows %d symbols, --symbols asks for %d", len(symbols), l.Symbols)
	}
	subs, err := l.connect(ctx, symbols)
	var reading sync.WaitGroup
	for _, s := range subs {
		reading.Go(s.ws.ReadLoop)
	}
	defer func() {
		for _, s := range subs {
			_ = s.ws.NetConn().Close()
		}
		reading.Wait()
	}()
	if err != nil {
		return err
	}
	for _, s := range subs {
		if err := s.subscribe(); err != nil {
			return err
		}
	}
	cpu, start := ownCPU(), time.Now()
	l.wait(ctx, subs)
	r := l.collect(subs, time.Since(start))
	r.OwnCPU = ownCPU() - cpu
	if l.JSON {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	r.print()
	return nil
}

func (l *load) fetchSymbols(ctx context.Context) ([]string, error) {
	u, _ := url.Parse(l.URL) // Validate has parsed it
	u.Scheme = strings.Replace(u.Scheme, "ws", "http", 1)
	u.Path = "/v1/symbols"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var rows []struct{ Symbol string }
	if err := json.NewDecoder(resp.Body).Decode(&rows); err != nil {
		return nil, fmt.Errorf("%s: %w", u, err)
	}
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.Symbol
	}
	return names, nil
}

func (l *load) connect(ctx context.Context, symbols []string) ([]*subscriber, error) {
	rng := rand.New(rand.NewPCG(l.Seed, 0))
	pace := time.NewTicker(time.Second / time.Duration(l.ConnectRate))
	defer pace.Stop()
	var subs []*subscriber
	for range l.Subscribers {
		chosen := make([]string, 0, l.Symbols)
		for _, i := range rng.Perm(len(symbols))[:l.Symbols] {
			chosen = append(chosen, symbols[i])
		}
		s, err := dial(l, chosen)
		if err != nil {
			return subs, fmt.Errorf("connection %d: %w", len(subs)+1, err)
		}
		subs = append(subs, s)
		select {
		case <-pace.C:
		case <-ctx.Done():
			return subs, ctx.Err()
		}
	}
	return subs, nil
}

// wait lets the run go on, with a line of progress now and then.
func (l *load) wait(ctx context.Context, subs []*subscriber) {
	end := time.After(l.Duration)
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	start, before := time.Now(), int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-end:
			return
		case <-tick.C:
			r := l.collect(subs, time.Since(start))
			fmt.Fprintf(os.Stderr, "%4.0fs  %d events/s  gaps %d  unaccounted %d  doubled %d  closed %d  p99 %dus\n",
				r.Seconds, (r.Events-before)/5, r.Gaps, r.Unaccounted, r.Doubled, r.Closed, r.LatencyUS.P99)
			before = r.Events
		}
	}
}

func (l *load) collect(subs []*subscriber, over time.Duration) *result {
	r := &result{Command: strings.Join(os.Args, " "), Subscribers: len(subs), Seconds: over.Seconds()}
	all := newHistogram()
	for _, s := range subs {
		s.mu.Lock()
		r.Events += s.events
		r.Messages += s.messages
		r.Bytes += s.bytes
		r.Gaps += s.gaps
		r.Missed += s.missed
		r.Unaccounted += s.unaccounted
		r.Doubled += s.doubled
		if s.closed {
			r.Closed++
		}
		all.Merge(s.latency)
		s.mu.Unlock()
	}
	q := all.ValueAtQuantile
	r.LatencyUS.P50, r.LatencyUS.P90, r.LatencyUS.P99, r.LatencyUS.P999, r.LatencyUS.Max = q(50), q(90), q(99), q(99.9), all.Max()
	return r
}

// newHistogram holds microseconds up to a minute with two digits.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 2) }

func (r *result) print() {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { _, _ = fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	per := func(n int64) float64 { return float64(n) / r.Seconds }
	row("connections", "%d (%d closed)", r.Subscribers, r.Closed)
	row("events", "%d, %.0f/s", r.Events, per(r.Events))
	row("messages", "%d, %.0f/s", r.Messages, per(r.Messages))
	row("bytes", "%.1f MB, %.1f MB/s", float64(r.Bytes)/1e6, per(r.Bytes)/1e6)
	row("gaps", "%d events over %d trades", r.Gaps, r.Missed)
	row("unaccounted, doubled", "%d, %d", r.Unaccounted, r.Doubled)
	row("latency us", "p50 %d  p90 %d  p99 %d  p99.9 %d  max %d", r.LatencyUS.P50, r.LatencyUS.P90, r.LatencyUS.P99, r.LatencyUS.P999, r.LatencyUS.Max)
	row("own CPU", "%.1f s, %.0f %% of %d cores", r.OwnCPU, 100*r.OwnCPU/r.Seconds/float64(runtime.NumCPU()), runtime.NumCPU())
	_ = w.Flush()
}

// ownCPU is what this process has used, in seconds.
func ownCPU() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
