package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tickcast/tickcast/bench/internal/contest"
	"github.com/tickcast/tickcast/bench/internal/host"
	"github.com/tickcast/tickcast/bench/internal/rival"
)

// matrix is the options that compare and peers share.
type matrix struct {
	Subscribers []int         `help:"Numbers of subscribers."`
	Ticks       []int         `help:"Ticks in a message."`
	Servers     []string      `help:"Which servers; floor is what others are compared with."`
	Repeats     int           `default:"5" help:"Times that each server is measured in each cell, by turns."`
	Duration    time.Duration `default:"3s" help:"How long each is measured."`
	Frames      int           `default:"50000" help:"Messages a second over all subscribers: sets the window."`
	ConnectRate float64       `default:"2000" help:"Connections opened a second."`
	Nap         time.Duration `default:"2ms" help:"The load looks only so often what has come, so that servers do not pay for waking it."`
	ServerCore  int           `default:"0" help:"The core of the server; NATS, feed and load have the others."`
	Streamer    string        `help:"The streamer to measure; built from this module if empty." placeholder:"FILE"`
	Out         string        `default:"bench/results" help:"Folder for the result; none if empty."`
	Name        string        `help:"Name of the result; made of the day and the commit if empty."`
}

// Validate reports what is wrong with the options.
func (m *matrix) Validate() error {
	var errs []error
	for _, name := range m.Servers {
		if !slices.Contains(serverNames(), name) {
			errs = append(errs, fmt.Errorf("--servers: no %q; there are %s", name, strings.Join(serverNames(), ", ")))
		}
	}
	for _, n := range append(slices.Clone(m.Subscribers), append(slices.Clone(m.Ticks), m.Repeats, m.Frames)...) {
		if n < 1 {
			errs = append(errs, fmt.Errorf("%d is not above 0", n))
		}
	}
	if m.Duration <= 0 || !(m.ConnectRate > 0) {
		errs = append(errs, errors.New("--duration and --connect-rate must be above 0"))
	}
	return errors.Join(errs...)
}

// compareCmd sets tickcast beside the floor and gws.
type compareCmd struct {
	matrix
}

// Run implements the command.
func (c *compareCmd) Run(ctx context.Context) error {
	return c.run(ctx, "compare", []int{1000, 5000}, []int{1, 5, 50, 250}, []string{contest.Floor, "tickcast-epoll", "tickcast-goroutine", "gws"})
}

// peersCmd sets tickcast beside what else one could build upon.
type peersCmd struct {
	matrix
}

// Run implements the command.
func (c *peersCmd) Run(ctx context.Context) error {
	return c.run(ctx, "peers", []int{1000}, []int{5, 50},
		[]string{contest.Floor, "tickcast-epoll", "tickcast-goroutine", "gws", "gws-broadcast", "gobwas", "coder", natsServer})
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
	for _, n := range subscribers {
		for _, t := range ticks {
			cells = append(cells, contest.Cell{Subscribers: n, Ticks: t, FramesPerSecond: m.Frames})
		}
	}
	result := contest.Result{Stamp: host.NewStamp(commandLine()), Repeats: m.Repeats, Servers: map[string]string{}}
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
		if err := result.Write(m.Out, name, names); err != nil {
			return err
		}
	}
	return result.Table(os.Stdout, false)
}

// contest runs the servers in the cells.
func (m *matrix) contest(ctx context.Context, cells []contest.Cell, names []string) ([]contest.Row, error) {
	cores := host.Cores()
	if len(cores) < 2 || !slices.Contains(cores, m.ServerCore) {
		return nil, fmt.Errorf("the server needs core %d for itself and the load another; there are %v", m.ServerCore, cores)
	}
	dir, err := os.MkdirTemp("", "tickcast-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	streamer := m.Streamer
	if streamer == "" {
		streamer = filepath.Join(dir, "streamer")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", streamer, "github.com/tickcast/tickcast/cmd/streamer").CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the streamer: %w: %s", err, out)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	run := contest.Contest{
		Self: self, Cells: cells, Repeats: m.Repeats, Duration: m.Duration, Nap: m.Nap, Connect: m.ConnectRate,
		ServerOn: []int{m.ServerCore}, OthersOn: slices.DeleteFunc(cores, func(c int) bool { return c == m.ServerCore }),
		Announced: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format, args...) },
	}
	for _, name := range names {
		run.Servers = append(run.Servers, newServer(name, self, streamer))
	}
	all, err := run.Run(ctx)
	if err != nil {
		return nil, err
	}
	return contest.Summarize(all), nil
}

// rivals are the servers of this program, with what they are.
var rivals = map[string]struct {
	what  string
	serve func(context.Context, net.Listener, rival.Config) error // nil: nats-server, which listens by itself
}{
	"gws":           {"lxzan/gws: ReadLoop for each connection, WriteMessage from one loop with the same window", rival.GWS},
	"gws-broadcast": {"lxzan/gws: ReadLoop for each connection, a Broadcaster for each symbol of a window: up to ten messages where others send one", rival.GWSBroadcast},
	"gobwas":        {"gobwas/ws: a goroutine that reads each raw connection, frames from one loop, one write each", rival.Gobwas},
	"coder":         {"coder/websocket: CloseRead for each connection, Write from one loop", rival.Coder},
	natsServer:      {"nats-server's WebSocket listener: subscribers are NATS clients of ten subjects, a window's trades of a symbol are one message; published from within", nil},
}

const natsServer = "nats-server"

func serverNames() []string {
	names := []string{contest.Floor, "tickcast-epoll", "tickcast-goroutine"}
	for name := range rivals {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func newServer(name, self, streamer string) contest.Server {
	s := contest.Server{Name: name, Program: self}
	engine, ours := strings.CutPrefix(name, "tickcast-")
	switch {
	case ours:
		s.What = "tickcast with --engine " + engine + ", its ingest from NATS included; NATS and the feed run elsewhere"
		s.Program, s.Symbols = streamer, "/v1/symbols"
		s.Args = func(c contest.Cell, nats string) []string {
			return []string{"--nats", nats, "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--engine", engine,
				"--batch-interval", c.Window().String(), "--max-connections", fmt.Sprint(c.Subscribers + 100), "--log-level", "error"}
		}
	case name == contest.Floor:
		s.What = "a bare epoll loop that copies the same trades into a buffer and calls write(2); makes them itself"
		s.Args = func(c contest.Cell, _ string) []string {
			return append([]string{"floor", "--addr", "127.0.0.1:0", "--loops", "1"}, c.Work()...)
		}
	default:
		s.What = rivals[name].what + "; makes the trades itself"
		if name == natsServer {
			s.Load = []string{"--server", "nats"}
		}
		s.Args = func(c contest.Cell, _ string) []string {
			return append([]string{"rival", name, "--addr", "127.0.0.1:0"}, c.Work()...)
		}
	}
	return s
}

// rivalCmd serves by somebody else's library, until it is interrupted.
type rivalCmd struct {
	work
	Name string `arg:"" help:"Which."`
	Addr string `default:"127.0.0.1:8082" help:"Where subscribers connect, at any path."`
}

// Run implements the command.
func (c *rivalCmd) Run(ctx context.Context) error {
	r, ok := rivals[c.Name]
	if !ok {
		return fmt.Errorf("no rival %q", c.Name)
	}
	started := func(addr string) { fmt.Printf("ready addr=%s\n", addr) }
	if r.serve == nil {
		return rival.NATS(ctx, c.Addr, c.config(), started)
	}
	ln, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return err
	}
	started(ln.Addr().String())
	return r.serve(ctx, ln, c.config())
}
