package main

import (
	"context"
	"fmt"
	"time"
)

// framesPerSecond is the load of a node in growth: about half of what a core can do.
const framesPerSecond = 40_000

// proveGrowth compares the CPU of a frame with few connections and with many. Windows are so
// long that a connection gets a frame in each, and all together as many a second.
func proveGrowth(ctx context.Context, p *proof, on *theatre) error {
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
		var ratios, small, large []float64
		for n := range on.Repeats {
			cost := func(subscribers, market int) (float64, error) {
				window := time.Duration(subscribers) * time.Second / framesPerSecond
				rate := g.ticks * float64(market) / float64(g.symbols) / window.Seconds()
				return on.perFrame(ctx, work{Market: market, Rate: rate, Window: window}, subscribers,
					"--pick", g.pick, "--symbols", fmt.Sprint(g.symbols))
			}
			few, err := cost(g.few, g.market)
			if err != nil {
				return err
			}
			many, err := cost(g.many, g.wide)
			if err != nil {
				return err
			}
			small, large, ratios = append(small, few), append(large, many), append(ratios, many/few)
			on.say("growth  %s  repeat %d  %.2f us a frame at %d, %.2f at %d: %.2f", g.what, n+1, few, g.few, many, g.many, many/few)
		}
		p.add("growth", fmt.Sprintf("CPU a frame, %s: %d connections", g.what, g.few), "us", 0, small...)
		p.add("growth", fmt.Sprintf("CPU a frame, %s: %d connections", g.what, g.many), "us", 0, large...)
		p.add("growth", "the second to the first", "", 1.2, ratios...)
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
	r, err := t.load(ctx, node, subscribers, append(how, "--nap", "2ms", "--warmup", "2s")...)
	if err != nil {
		return 0, err
	}
	return r.Server.PerMMessages, nil // seconds a million are us a message
}
