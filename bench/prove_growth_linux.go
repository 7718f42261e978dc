package main

import (
	"context"
	"fmt"
	"time"
)

// framesPerSecond is the load of a node in growth: about half of what a core can do.
const framesPerSecond = 40_000

// proveGrowth compares the CPU of a frame with few connections and with many. Windows are so
// long that a connection gets a frame in each, and all together as many a second. The floor's
// growth is the kernel's: its sockets leave the caches too.
func proveGrowth(ctx context.Context, p *proof, on *theatre) error {
	servers := []struct {
		name     string
		most     float64
		perFrame func(context.Context, work, int, ...string) (float64, error)
	}{
		{"floor", 0, on.perFrameOfFloor},
		{"node", 1.2, on.perFrame},
	}
	for _, g := range []struct {
		what         string
		few, many    int
		pick         string
		symbols      int
		market, wide int // symbols of the market, for few and for many
		ticks        float64
	}{
		{"10 symbols of 100", 1000, on.Many, "even", 10, 100, 100, 5},
		{"one symbol, wanted by all", 1000, on.Many, "fixed", 1, 1, 1, 1},
		{"a symbol each, wanted by nobody else", 1000, min(10_000, on.Many), "own", 1, 1000, min(10_000, on.Many), 2},
	} {
		small, large, ratios := make([][]float64, len(servers)), make([][]float64, len(servers)), make([][]float64, len(servers))
		for n := range on.Repeats {
			for i, s := range servers {
				cost := func(subscribers, market int) (float64, error) {
					window := time.Duration(subscribers) * time.Second / framesPerSecond
					rate := g.ticks * float64(market) / float64(g.symbols) / window.Seconds()
					return s.perFrame(ctx, work{Market: market, Rate: rate, Window: window}, subscribers,
						"--pick", g.pick, "--symbols", fmt.Sprint(g.symbols), "--nap", "2ms", "--warmup", "2s")
				}
				few, err := cost(g.few, g.market)
				if err != nil {
					return err
				}
				many, err := cost(g.many, g.wide)
				if err != nil {
					return err
				}
				small[i], large[i], ratios[i] = append(small[i], few), append(large[i], many), append(ratios[i], many/few)
				on.say("growth  %s, %s  repeat %d  %.2f us a frame at %d, %.2f at %d: %.2f", s.name, g.what, n+1, few, g.few, many, g.many, many/few)
			}
		}
		for i, s := range servers {
			p.add("growth", fmt.Sprintf("CPU a frame, %s, %s: %d connections", s.name, g.what, g.few), "us", 0, small[i]...)
			p.add("growth", fmt.Sprintf("CPU a frame, %s, %s: %d connections", s.name, g.what, g.many), "us", 0, large[i]...)
			p.add("growth", "the second to the first", "", s.most, ratios[i]...)
		}
	}
	return nil
}

// perFrame is the CPU of a node for each frame, in us.
func (t *theatre) perFrame(ctx context.Context, w work, subscribers int, how ...string) (float64, error) {
	source, nats, err := t.source(ctx, w)
	if err != nil {
		return 0, err
	}
	defer source.Kill()
	node, err := t.node(ctx, nats, w.Market, "--batch-interval", w.Window.String())
	if err != nil {
		return 0, err
	}
	defer node.Kill()
	return t.costOfFrame(ctx, node, subscribers, how...)
}

// perFrameOfFloor is the floor's.
func (t *theatre) perFrameOfFloor(ctx context.Context, w work, subscribers int, how ...string) (float64, error) {
	floor, err := t.floor(ctx, w)
	if err != nil {
		return 0, err
	}
	defer floor.Kill()
	return t.costOfFrame(ctx, floor, subscribers, append(how, "--market", fmt.Sprint(w.Market))...)
}

func (t *theatre) costOfFrame(ctx context.Context, of *player, subscribers int, how ...string) (float64, error) {
	r, err := t.load(ctx, of, subscribers, how...)
	if err != nil {
		return 0, err
	}
	return r.Server.PerMMessages, nil // seconds a million are us a message
}
