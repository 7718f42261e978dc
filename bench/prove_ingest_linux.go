package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tickcast/tickcast/bench/internal/host"
	"github.com/tickcast/tickcast/pkg/feed"
)

const (
	ingestMarket = 100

	// newFor is how long each message of a new feed says that its numbers began anew, and a bit:
	// nothing that a node hears for most of its life.
	newFor = feed.ResetFor + time.Second
)

// proveIngest measures the CPU of a node for each tick that it receives: while one subscriber
// wants all of them, and when it has gone. A node listens to a stream for ten seconds more.
func proveIngest(ctx context.Context, p *proof, on *theatre) error {
	if err := on.ingestOf(ctx, p, 500_000, 150); err != nil {
		return err
	}
	return on.ingestOf(ctx, p, 10_000, 1000)
}

// ingestOf measures at so many ticks a second, of which each may take most ns.
func (t *theatre) ingestOf(ctx context.Context, p *proof, rate, most float64) error {
	source, nats, err := t.source(ctx, work{Market: ingestMarket, Rate: rate, Window: time.Millisecond})
	if err != nil {
		return err
	}
	defer source.Kill()
	t.say("ingest  %.0f ticks/s: the feed is new for %v", rate, newFor)
	if err := sleep(ctx, newFor); err != nil {
		return err
	}
	var with, without, received []float64
	for n := range t.Repeats {
		w, wo, came, err := t.ingest(ctx, nats)
		if err != nil {
			return err
		}
		with, without, received = append(with, w), append(without, wo), append(received, came)
		t.say("ingest  repeat %d  %.0f ticks/s: %.0f ns a tick with a subscriber of all, %.0f without", n+1, came, w, wo)
	}
	p.add("ingest", fmt.Sprintf("ticks received, of %.0f sent", rate), "1/s", 0, received...)
	p.add("ingest", "CPU a tick, wanted by nobody", "ns", most, without...)
	p.add("ingest", "CPU a tick, wanted by one", "ns", 0, with...)
	return nil
}

// ingest starts a node that takes its ticks from nats.
func (t *theatre) ingest(ctx context.Context, nats string) (with, without, received float64, err error) {
	node, err := t.node(ctx, nats, ingestMarket)
	if err != nil {
		return 0, 0, 0, err
	}
	defer node.Kill()
	over := make(chan error, 1)
	go func() {
		_, err := t.load(ctx, node, 1, "--pick", "fixed", "--symbols", fmt.Sprint(ingestMarket), "--warmup", "2s")
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
