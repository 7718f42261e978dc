package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tickcast/tickcast/bench/internal/fleet"
	"github.com/tickcast/tickcast/bench/internal/host"
	"github.com/tickcast/tickcast/bench/internal/tape"
)

// load opens subscribers, by the thousand in each of its processes, and counts what comes.
type load struct {
	URL         string        `default:"ws://127.0.0.1:8080/v1/stream" help:"Where the node's stream is."`
	Subscribers int           `default:"1000" help:"How many connections."`
	Processes   int           `help:"Processes that share them; enough for the descriptors if 0." placeholder:"N"`
	ConnectRate float64       `default:"1000" help:"Connections opened a second, over all processes."`
	Symbols     int           `default:"10" help:"Symbols that each subscribes to."`
	Pick        string        `default:"uniform" enum:"uniform,zipf,fixed,watchlists,even,own" help:"How each chooses them: uniform at random, zipf (popular ones more often), fixed (the first), watchlists (--watchlists random lists that many share), even (at random, one from each part of the list), own (each the next ones, which nobody else has while the list lasts)."`
	Watchlists  int           `default:"50" help:"How many lists are shared, with --pick watchlists."`
	Channels    []string      `default:"trade" enum:"trade,quote,bar" help:"Channels of each symbol: trade, quote, bar."`
	Encoding    string        `default:"msgpack" enum:"msgpack,json" help:"msgpack or json."`
	Interval    time.Duration `default:"-1ms" help:"interval_ms of each subscription; below 0 leaves it to the node."`
	Policy      string        `help:"Policy of each subscription; the node's if empty." placeholder:"NAME"`
	Token       string        `help:"Bearer token to connect with." placeholder:"JWT"`
	Insecure    bool          `help:"wss: take any certificate, such as a self-signed one."`
	Compression bool          `help:"Offer permessage-deflate; inflating costs the generator more than all else."`
	Warmup      time.Duration `default:"1s" help:"How long to let it run before counting, once all are subscribed."`
	Duration    time.Duration `default:"10s" help:"How long to count."`
	Slow        float64       `help:"Share of slow readers, 0 to 1; their latency is not counted." placeholder:"SHARE"`
	SlowKind    []string      `default:"paused,throttled,stalled" help:"What slow readers do, by turns: paused (5 s of every 10), throttled (--read-rate), stalled (never read again)."`
	ReadRate    int           `default:"10000" help:"Bytes a second that a throttled reader takes."`
	StormEvery  time.Duration `help:"A reconnect storm so often: --storm-share of the connections end at once and come again at --connect-rate."`
	StormShare  float64       `default:"0.5" help:"Share of the connections in a storm."`
	Seed        uint64        `default:"1" help:"For the choice of symbols."`
	Nap         time.Duration `help:"Look only so often what has come: the generator and its server's writes cost less, and latencies are longer by as much."`
	PID         int           `name:"pid" help:"The server's process on this machine: tells its CPU per million events and messages, and memory per connection." placeholder:"PID"`
	JSON        bool          `name:"json" help:"Print the result as JSON."`
	HDRLog      string        `name:"hdr-log" help:"Write the latencies of each second to this file, in HDR's log format." placeholder:"FILE"`
	Server      string        `hidden:"" default:"tickcast" enum:"tickcast,nats" help:"How subscribers speak."`
	Market      int           `hidden:"" help:"The symbols are the benchmark's own, so many: for servers without /v1/symbols."`

	plan fleet.Plan
}

// perProcess is how many connections a process takes on its own: a system gives a process
// some 20,000 descriptors, and one loop reads no more than a core can.
const perProcess = 15_000

// intervalMax is the protocol's.
const intervalMax = time.Minute

// Validate reports what is wrong with the options.
func (l *load) Validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	u, err := url.Parse(l.URL)
	bad(err != nil || u.Scheme != "ws" && u.Scheme != "wss", "--url %q is no ws:// or wss:// URL", l.URL)
	bad(l.Subscribers < 1, "--subscribers %d is not above 0", l.Subscribers)
	bad(l.Symbols < 1, "--symbols %d is not above 0", l.Symbols)
	bad(!(l.ConnectRate > 0), "--connect-rate %v is not above 0", l.ConnectRate)
	bad(l.Duration <= 0, "--duration %s is not above 0", l.Duration)
	bad(l.Processes < 0, "--processes %d is below 0", l.Processes)
	bad(l.Processes > l.Subscribers, "--processes %d is above the --subscribers, %d", l.Processes, l.Subscribers)
	bad(l.ReadRate < 100, "--read-rate %d is below 100", l.ReadRate)
	bad(!(l.StormShare >= 0 && l.StormShare <= 1), "--storm-share %v is not 0 to 1", l.StormShare)
	bad(len(l.Channels) == 0, "--channels names none")
	bad(l.Policy != "" && !slices.Contains(policies, l.Policy), "--policy %q is none of %s", l.Policy, strings.Join(policies, ", "))
	bad(l.Interval > intervalMax, "--interval %s is above %s", l.Interval, intervalMax)
	bad(l.PID < 0, "--pid %d is below 0", l.PID)
	for _, d := range []struct {
		option string
		value  time.Duration
	}{{"warmup", l.Warmup}, {"storm-every", l.StormEvery}, {"nap", l.Nap}} {
		bad(d.value < 0, "--%s %s is below 0", d.option, d.value)
	}
	return errors.Join(append(errs, l.planOf(nil).Validate())...)
}

func (l *load) planOf(names []string) *fleet.Plan {
	return &fleet.Plan{Names: names, PerMember: l.Symbols, Pick: l.Pick, Watchlists: l.Watchlists, SlowShare: l.Slow, Slow: l.SlowKind, Seed: l.Seed}
}

// Run opens the subscribers, counts and prints.
func (l *load) Run(ctx context.Context) error {
	r, err := l.measure(ctx)
	if err != nil {
		return err
	}
	if l.JSON {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	r.print(os.Stdout)
	return nil
}

// prepare fills in what the options leave open.
func (l *load) prepare(ctx context.Context) error {
	names := tape.Symbols(l.Market)
	if l.Market == 0 {
		var err error
		if names, err = l.fetchSymbols(ctx); err != nil {
			return err
		}
	}
	if l.Symbols > len(names) {
		return fmt.Errorf("--symbols %d: the node knows %d", l.Symbols, len(names))
	}
	l.plan = *l.planOf(names)
	if l.Processes == 0 {
		l.Processes = (l.Subscribers + perProcess - 1) / perProcess
	}
	return nil
}

// fetchSymbols asks the node what it knows.
func (l *load) fetchSymbols(ctx context.Context) ([]string, error) {
	body, err := l.get(ctx, "/v1/symbols")
	if err != nil {
		return nil, err
	}
	var rows []struct{ Symbol string }
	if err := json.Unmarshal(body, &rows); err != nil {
		return nil, fmt.Errorf("/v1/symbols: %w", err)
	}
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.Symbol
	}
	return names, nil
}

// get asks the node for a page.
func (l *load) get(ctx context.Context, page string) ([]byte, error) {
	u, _ := url.Parse(l.URL) // Validate has parsed it
	base := url.URL{Scheme: strings.Replace(u.Scheme, "ws", "http", 1), Host: u.Host}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.String()+page, nil)
	if err != nil {
		return nil, err
	}
	req.Header = l.header()
	client := http.Client{Transport: &http.Transport{TLSClientConfig: l.tls(), DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s%s: %s: %.200s", base.String(), page, resp.Status, body)
	}
	return body, err
}

func (l *load) header() http.Header {
	h := http.Header{}
	if l.Token != "" {
		h.Set("Authorization", "Bearer "+l.Token)
	}
	return h
}

// tls returns nil for ws URLs. Clients keep no session tickets: each handshake is a full one,
// as that of a new subscriber is.
func (l *load) tls() *tls.Config {
	u, _ := url.Parse(l.URL) // Validate has parsed it
	if u.Scheme != "wss" {
		return nil
	}
	return &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: l.Insecure, NextProtos: []string{"http/1.1"}} //nolint:gosec // asked for
}

// measure opens the subscribers, counts, and returns what it found.
func (l *load) measure(ctx context.Context) (*loadResult, error) {
	if err := l.prepare(ctx); err != nil {
		return nil, err
	}
	before := int64(0)
	if l.PID != 0 {
		var err error
		if before, err = host.RSS(l.PID); err != nil {
			return nil, fmt.Errorf("--pid %d: %w", l.PID, err)
		}
	}
	shares, err := l.startShares(ctx)
	if err != nil {
		return nil, err
	}
	defer shares.stop()
	r := &loadResult{Stamp: host.NewStamp(commandLine()), Subscribers: l.Subscribers, Warmup: l.Warmup.Seconds()}
	log, err := newHDRLog(l.HDRLog)
	if err != nil {
		return nil, fmt.Errorf("--hdr-log: %w", err)
	}
	defer log.close()
	if err := shares.connect(ctx, r); err != nil {
		return nil, err
	}
	if err := shares.count(ctx, l, r, log); err != nil {
		return nil, err
	}
	if l.PID != 0 {
		after, err := host.RSS(l.PID)
		if err != nil {
			return nil, err
		}
		r.Server.RSS = float64(after)
		r.Server.RSSPerConn = float64(after-before) / float64(max(1, r.Ready))
	}
	r.finish()
	return r, log.err
}

func commandLine() string { return "go run ./bench " + strings.Join(os.Args[1:], " ") }
