package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tickcast/tickcast/bench/internal/host"
)

// A theatre is where parts are proved: which programs play, and on which cores.
type theatre struct {
	*proveCmd
	self         string
	server, rest []int // cores
	nodeOptions  []string
}

func newTheatre(ctx context.Context, c *proveCmd, dir string) (*theatre, error) {
	t := &theatre{proveCmd: c}
	var err error
	if t.server, t.rest, err = splitCores(c.ServerCore); err != nil {
		return nil, err
	}
	if t.self, err = os.Executable(); err != nil {
		return nil, err
	}
	t.Streamer, err = streamer(ctx, c.Streamer, dir)
	return t, err
}

func (t *theatre) say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// A player is a server under measurement.
type player struct {
	*host.Process
	url   string
	addr  string
	admin string // of a node
}

// source starts NATS and a feed.
func (t *theatre) source(ctx context.Context, w work, more ...string) (p *host.Process, nats string, err error) {
	p, err = host.Start(t.rest, t.self, append(append([]string{"source"}, w.args()...), more...)...)
	if err != nil {
		return nil, "", err
	}
	pairs, err := p.Ready(ctx)
	if err != nil {
		p.Kill()
		return nil, "", err
	}
	return p, pairs["nats"], nil
}

// node starts a streamer, and waits until it knows so many symbols.
func (t *theatre) node(ctx context.Context, nats string, market int, more ...string) (*player, error) {
	p, err := t.play(ctx, t.Streamer, append([]string{"--nats", nats, "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0",
		"--max-connections", "50000", "--handshakes-per-second", "1000000", "--log-level", "error"}, more...)...)
	if err != nil {
		return nil, err
	}
	l := &load{URL: p.url, Insecure: true}
	for ctx, cancel := context.WithTimeout(ctx, time.Minute); ; {
		names, err := l.fetchSymbols(ctx)
		if err == nil && len(names) >= market {
			cancel()
			return p, nil
		}
		select {
		case <-ctx.Done():
			cancel()
			p.Kill()
			return nil, fmt.Errorf("the node knows %d symbols of %d: %v", len(names), market, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// floor starts the bare loop.
func (t *theatre) floor(ctx context.Context, w work) (*player, error) {
	return t.play(ctx, t.self, append([]string{"floor", "--addr", "127.0.0.1:0", "--loops", "1"}, w.args()...)...)
}

func (t *theatre) play(ctx context.Context, program string, args ...string) (*player, error) {
	proc, err := host.Start(t.server, program, args...)
	if err != nil {
		return nil, err
	}
	pairs, err := proc.Ready(ctx)
	if err != nil {
		proc.Kill()
		return nil, err
	}
	scheme := "ws"
	if slices.Contains(args, "--tls-cert") {
		scheme = "wss"
	}
	return &player{Process: proc, url: scheme + "://" + pairs["addr"] + "/v1/stream", addr: pairs["addr"], admin: pairs["admin_addr"]}, nil
}

// load runs a load against the player, in a process of its own.
func (t *theatre) load(ctx context.Context, p *player, subscribers int, more ...string) (*loadResult, error) {
	out, err := host.Output(ctx, t.rest, t.self, append([]string{"load", "--json", "--url", p.url, "--pid", strconv.Itoa(p.PID()),
		"--subscribers", strconv.Itoa(subscribers), "--connect-rate", "2000", "--duration", t.Duration.String(), "--insecure"}, more...)...)
	if err != nil {
		return nil, err
	}
	r := new(loadResult)
	if err := json.Unmarshal(out, r); err != nil {
		return nil, fmt.Errorf("the load's result: %w", err)
	}
	if r.Ready < subscribers || r.Messages == 0 {
		return nil, fmt.Errorf("%d of %d subscribers got %d messages: %s", r.Ready, subscribers, r.Messages, r.LastError)
	}
	return r, nil
}

// metric reads a node's metric, summed over its labels.
func (p *player) metric(ctx context.Context, name string) (sum float64, err error) {
	page, err := get(ctx, "http://"+p.admin+"/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(page) {
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' ')+1:]), 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", name, err)
			}
			sum += v
		}
	}
	return sum, nil
}

// heap is what a node keeps after a collection.
func (p *player) heap(ctx context.Context) (float64, error) {
	if _, err := get(ctx, "http://"+p.admin+"/debug/pprof/heap?gc=1"); err != nil {
		return 0, err
	}
	page, err := get(ctx, "http://"+p.admin+"/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(page, "# HeapAlloc = ")
	text, _, _ := strings.Cut(rest, "\n")
	return strconv.ParseFloat(text, 64)
}

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return string(body), err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
