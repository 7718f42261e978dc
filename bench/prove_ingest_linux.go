package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tickcast/tickcast/bench/internal/host"
)

// proveIngest measures the CPU of a node for each tick that it receives: while one subscriber
// wants all of them, and when it has gone. A node listens to a stream for ten seconds more.
func proveIngest(ctx context.Context, p *proof, on *theatre) error {
	for _, in := range []struct {
		rate float64
		most float64 // ns a tick
	}{{500_000, 150}, {10_000, 1000}} {
		var with, without, rates []float64
		for n := range on.Repeats {
			w, wo, rate, err := on.ingest(ctx, in.rate)
			if err != nil {
				return err
			}
			with, without, rates = append(with, w), append(without, wo), append(rates, rate)
			on.say("ingest  repeat %d  %.0f ticks/s: %.0f ns a tick with a subscriber of all, %.0f without", n+1, rate, w, wo)
		}
		p.add("ingest", fmt.Sprintf("ticks received, of %.0f sent", in.rate), "1/s", 0, rates...)
		p.add("ingest", "CPU a tick, wanted by nobody", "ns", in.most, without...)
		p.add("ingest", "CPU a tick, wanted by one", "ns", 0, with...)
	}
	return nil
}

func (t *theatre) ingest(ctx context.Context, rate float64) (with, without, received float64, err error) {
	const market = 100
	source, nats, err := t.source(ctx, work{Market: market, Rate: rate, Window: time.Millisecond})
	if err != nil {
		return 0, 0, 0, err
	}
	defer source.Kill()
	node, err := t.node(ctx, nats, market)
	if err != nil {
		return 0, 0, 0, err
	}
	defer node.Kill()
	over := make(chan error, 1)
	go func() {
		_, err := t.load(ctx, node, 1, "--pick", "fixed", "--symbols", fmt.Sprint(market), "--warmup", "2s")
		over <- err
	}()
	if err := sleep(ctx, 2*time.Second); err != nil {
		return 0, 0, 0, err
	}
	if with, _, err = node.perTick(ctx, min(t.Duration, 3*time.Second)); err != nil {
		return 0, 0, 0, err
	}
	if err := <-over; err != nil {
		return 0, 0, 0, err
	}
	without, received, err = node.perTick(ctx, min(t.Duration, 5*time.Second))
	return with, without, received, err
}

// perTick is the CPU for each tick that comes within d, in ns, and how many come a second. What
// the node takes to tell its metrics, some 2 ms, is not among it.
func (p *player) perTick(ctx context.Context, d time.Duration) (ns, perSecond float64, err error) {
	const ticks = "tickcast_upstream_ticks_total"
	before, err := p.metric(ctx, ticks)
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	from, err := host.CPU(p.PID())
	if err != nil {
		return 0, 0, err
	}
	if err := sleep(ctx, d); err != nil {
		return 0, 0, err
	}
	to, err := host.CPU(p.PID())
	if err != nil {
		return 0, 0, err
	}
	took := time.Since(start)
	after, err := p.metric(ctx, ticks)
	if err != nil {
		return 0, 0, err
	}
	if after == before {
		return 0, 0, fmt.Errorf("the node received no tick in %s", d)
	}
	return float64(to-from) / (after - before), (after - before) / took.Seconds(), nil
}
