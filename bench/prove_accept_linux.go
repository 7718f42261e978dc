package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tickcast/tickcast/bench/internal/floor"
	"github.com/tickcast/tickcast/bench/internal/host"
	"github.com/tickcast/tickcast/bench/internal/tape"
	"github.com/tickcast/tickcast/bench/internal/wire"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// proveAccept has a crowd connect and upgrade to the floor, and connect, upgrade and subscribe
// to a node.
func proveAccept(ctx context.Context, p *proof, on *theatre) error {
	source, nats, err := on.source(ctx, idle)
	if err != nil {
		return err
	}
	defer source.Kill()
	node, err := on.node(ctx, nats, idle.Market)
	if err != nil {
		return err
	}
	defer node.Kill()
	bare, err := on.play(ctx, on.self, "floor", "--addr", "127.0.0.1:0", "--upgrade-only")
	if err != nil {
		return err
	}
	defer bare.Kill()
	var wall, cpu, floors, nodes []float64
	for n := range on.Repeats + 1 {
		low, err := on.crowd(ctx, bare, "0")
		if err != nil {
			return err
		}
		high, err := on.crowd(ctx, node, "1")
		if err != nil {
			return err
		}
		on.say("accept  repeat %d  floor %.2f s, %.2f s of CPU; node %.2f s, %.2f s of CPU", n, low.Seconds, low.CPU, high.Seconds, high.CPU)
		if n == 0 {
			continue // grows heaps and tables
		}
		floors, nodes = append(floors, low.Seconds), append(nodes, high.Seconds)
		wall, cpu = append(wall, high.Seconds/low.Seconds), append(cpu, high.CPU/low.CPU)
	}
	p.add("accept", fmt.Sprintf("floor: %d connections upgraded", on.Crowd), "s", 0, floors...)
	p.add("accept", fmt.Sprintf("node: %d connections upgraded and subscribed", on.Crowd), "s", 0, nodes...)
	p.add("accept", "time, the second to the first", "", 1.5, wall...)
	p.add("accept", "server's CPU, the second to the first", "", 0, cpu...)
	return nil
}

// crowded is what a crowd took.
type crowded struct {
	Seconds float64
	CPU     float64 // of the server
}

func (t *theatre) crowd(ctx context.Context, p *player, symbols string) (c crowded, err error) {
	before, err := host.CPU(p.PID())
	if err != nil {
		return c, err
	}
	out, err := host.Output(ctx, t.rest, t.self, "crowd", p.addr, "--connections", strconv.Itoa(t.Crowd), "--symbols", symbols, "--pid", strconv.Itoa(p.PID()))
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(out, &c); err != nil {
		return c, err
	}
	c.CPU -= before.Seconds()
	return c, sleep(ctx, time.Second) // until the server has let go of them
}

// crowdCmd opens connections as fast as they are answered, holds them, and ends.
type crowdCmd struct {
	Addr        string `arg:""`
	Connections int    `default:"10000"`
	Symbols     int    `help:"Subscribe to so many; 0 only upgrades."`
	PID         int    `name:"pid"`
}

// Run implements the command.
func (c *crowdCmd) Run(context.Context) error {
	var request []byte
	if c.Symbols > 0 {
		asked, err := codec.AppendRequest(nil, codec.MsgPack, &codec.Request{
			Op: codec.OpSubscribe, Channels: []market.Channel{market.ChannelTrade}, Symbols: tape.Symbols(c.Symbols),
		})
		if err != nil {
			return err
		}
		request = wire.AppendMasked(nil, wire.OpBinary, asked)
	}
	start := time.Now()
	fds, err := floor.Crowd(c.Addr, c.Connections, request)
	if err != nil {
		return err
	}
	result := crowded{Seconds: time.Since(start).Seconds()}
	used, err := host.CPU(c.PID)
	if err != nil {
		return err
	}
	result.CPU = used.Seconds()
	for _, fd := range fds {
		// A reset leaves no port behind for a minute.
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		_ = unix.Close(fd)
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}
