package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/tickcast/tickcast/bench/internal/contest"
	"github.com/tickcast/tickcast/bench/internal/rival"
	"github.com/tickcast/tickcast/bench/internal/tape"
)

// rivals are the servers of this program, with what they are.
var rivals = map[string]struct {
	what  string
	serve func(context.Context, net.Listener, rival.Config) error // nil: nats-server, which listens by itself
}{
	contest.GWS:     {"lxzan/gws: ReadLoop on a goroutine for each connection, WriteMessage of one msgpack batch a window from the loop", rival.GWS},
	"gws-broadcast": {"lxzan/gws: ReadLoop on a goroutine for each connection, a Broadcaster of a msgpack batch for each symbol of a window: up to ten messages where others send one", rival.GWSBroadcast},
	"gobwas":        {"gobwas/ws: the zero-copy upgrade, a goroutine that reads each raw connection, one msgpack batch a window from the loop, each frame in one write", rival.Gobwas},
	"coder":         {"coder/websocket: CloseRead for each connection, Write of one msgpack batch a window from the loop, no compression", rival.Coder},
	natsServer:      {"nats-server's WebSocket listener: subscribers are NATS clients of ten subjects, a window's trades of a symbol are one message to each who has it", nil},
}

const natsServer = "nats-server"

// rivalWork is what all rivals do, whatever their library.
const rivalWork = "; the trades come from NATS by nats.go, all symbols in one subscription; no queue, no snapshot, no history, no metrics"

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
		s.What = "tickcast with --engine " + engine + ": the trades come from NATS, a subscription for each symbol, with snapshots, history, policies and metrics"
		s.Program, s.Symbols = streamer, "/v1/symbols"
		s.Args = func(c contest.Cell, o contest.Outside) []string {
			args := []string{"--nats", o.NATS, "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--engine", engine,
				"--batch-interval", c.Window().String(), "--max-connections", fmt.Sprint(c.Subscribers + 100), "--handshakes-per-second", "20000", "--log-level", "error"}
			if c.TLS {
				args = append(args, "--tls-cert", o.Cert, "--tls-key", o.Key)
			}
			return args
		}
	case name == contest.Floor:
		s.What = "a bare epoll loop that copies the same trades into a buffer and calls write(2); makes them itself, without NATS"
		s.Args = func(c contest.Cell, _ contest.Outside) []string {
			return append([]string{"floor", "--addr", "127.0.0.1:0", "--loops", "1"}, c.Work()...)
		}
	default:
		s.What = rivals[name].what + rivalWork
		if name == natsServer {
			s.What = rivals[name].what + "; the trades come from the other NATS by nats.go in the same process, which relays them"
			s.Load = []string{"--server", "nats"}
		}
		s.Args = func(c contest.Cell, o contest.Outside) []string {
			return []string{"rival", name, "--addr", "127.0.0.1:0", "--nats", o.NATS, "--market", fmt.Sprint(c.All()), "--window", c.Window().String()}
		}
	}
	return s
}

// rivalCmd serves by somebody else's library, until it is interrupted.
type rivalCmd struct {
	Name   string        `arg:"" help:"Which."`
	NATS   string        `name:"nats" default:"nats://127.0.0.1:4222" help:"Where the trades come from."`
	Market int           `default:"100" help:"Symbols of the benchmark's market."`
	Window time.Duration `default:"10ms" help:"What comes in this time leaves in one message."`
	Addr   string        `default:"127.0.0.1:8082" help:"Where subscribers connect, at any path."`
}

// Validate reports what is wrong with the options.
func (c *rivalCmd) Validate() error {
	if _, ok := rivals[c.Name]; !ok {
		return fmt.Errorf("no rival %q", c.Name)
	}
	if c.Market < 1 || c.Window <= 0 {
		return errors.New("--market and --window must be above 0")
	}
	return nil
}

// Run implements the command.
func (c *rivalCmd) Run(ctx context.Context) error {
	serve := rivals[c.Name].serve
	cfg := rival.Config{NATS: c.NATS, Symbols: tape.Symbols(c.Market), Window: c.Window}
	started := func(addr string) { fmt.Printf("ready addr=%s\n", addr) }
	if serve == nil {
		return rival.NATS(ctx, c.Addr, cfg, started)
	}
	ln, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return err
	}
	started(ln.Addr().String())
	return serve(ctx, ln, cfg)
}
