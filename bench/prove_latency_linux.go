package main

import (
	"context"
	"fmt"
	"time"
)

// proveLatency measures from publishing to receiving: the feed of this part publishes each
// trade by itself, and stamps it then. The load looks at once what has come.
func proveLatency(ctx context.Context, p *proof, on *theatre) error {
	if err := on.atHalfLoad(ctx, p); err != nil {
		return err
	}
	if err := on.atOnce(ctx, p); err != nil {
		return err
	}
	return on.besideStalled(ctx, p)
}

const latencyWindow = 5 * time.Millisecond // the node's own

// atHalfLoad has the node take about half of its core.
func (t *theatre) atHalfLoad(ctx context.Context, p *proof) error {
	w := work{Market: 100, Rate: 200, Window: latencyWindow}
	r, err := t.measured(ctx, w, 1000)
	if err != nil {
		return err
	}
	w.Rate *= min(4, max(0.5, 0.5*r.Seconds/r.Server.CPU))
	var p50, p99, busy []float64
	for n := range t.Repeats {
		r, err := t.measured(ctx, w, 1000)
		if err != nil {
			return err
		}
		p50, p99, busy = append(p50, ms(r.Latency.P50)), append(p99, ms(r.Latency.P99)), append(busy, 100*r.Server.CPU/r.Seconds)
		t.say("latency  half load  repeat %d  p50 %.2f ms, p99 %.2f ms at %.0f %% of a core; waited %.0f %%", n+1,
			ms(r.Latency.P50), ms(r.Latency.P99), 100*r.Server.CPU/r.Seconds, 100*r.Server.Waited/r.Seconds)
	}
	p.add("latency", fmt.Sprintf("node's CPU, 1000 subscribers, %.0f trades/s", w.Rate), "% of a core", 0, busy...)
	p.add("latency", "p50 at half load, window "+latencyWindow.String(), "ms", 0, p50...)
	p.add("latency", "p99 at half load, window "+latencyWindow.String(), "ms", ms(latencyWindow.Microseconds()+1000), p99...)
	return nil
}

func ms(us int64) float64 { return float64(us) / 1000 }

// atOnce compares with the floor, without a window.
func (t *theatre) atOnce(ctx context.Context, p *proof) error {
	w := work{Market: 100, Rate: 100}
	const subscribers = 100
	var p50, p99, floors, nodes []float64
	for n := range t.Repeats {
		floor, err := t.floor(ctx, w)
		if err != nil {
			return err
		}
		low, err := t.load(ctx, floor, subscribers, "--pick", "even", "--market", fmt.Sprint(w.Market))
		floor.Kill()
		if err != nil {
			return err
		}
		high, err := t.measured(ctx, w, subscribers)
		if err != nil {
			return err
		}
		p50 = append(p50, float64(high.Latency.P50)/float64(low.Latency.P50))
		p99 = append(p99, float64(high.Latency.P99)/float64(low.Latency.P99))
		floors, nodes = append(floors, float64(low.Latency.P50)), append(nodes, float64(high.Latency.P50))
		t.say("latency  no window  repeat %d  floor p50 %d us, p99 %d us; node p50 %d us, p99 %d us", n+1,
			low.Latency.P50, low.Latency.P99, high.Latency.P50, high.Latency.P99)
	}
	p.add("latency", "p50 without a window and with little load, floor", "us", 0, floors...)
	p.add("latency", "p50 without a window and with little load, node", "us", 0, nodes...)
	p.add("latency", "p50 without a window, to the floor's", "", 1.5, p50...)
	p.add("latency", "p99 without a window, to the floor's", "", 1.5, p99...)
	return nil
}

// besideStalled compares the longest time that any healthy subscriber went without a message,
// beside a thousand others that never read, with that beside none.
func (t *theatre) besideStalled(ctx context.Context, p *proof) error {
	w := work{Market: 100, Rate: 2000, Window: 20 * time.Millisecond}
	var alone, beside, ratios []float64
	for n := range t.Repeats {
		r, err := t.measured(ctx, w, 1000)
		if err != nil {
			return err
		}
		s, err := t.measured(ctx, w, 2000, "--slow", "0.5", "--slow-kind", "stalled")
		if err != nil {
			return err
		}
		alone, beside = append(alone, ms(r.WorstPause)), append(beside, ms(s.WorstPause))
		ratios = append(ratios, float64(s.WorstPause)/float64(r.WorstPause))
		t.say("latency  stalled  repeat %d  worst pause %.1f ms alone, %.1f ms beside", n+1, ms(r.WorstPause), ms(s.WorstPause))
	}
	p.add("latency", "worst pause of 1000 healthy subscribers", "ms", 0, alone...)
	p.add("latency", "worst pause beside 1000 that never read", "ms", 0, beside...)
	p.add("latency", "the second to the first", "", 2, ratios...)
	return nil
}

// measured has a new node serve subscribers of ten symbols each.
func (t *theatre) measured(ctx context.Context, w work, subscribers int, how ...string) (*loadResult, error) {
	source, nats, err := t.source(ctx, w, "--at-once")
	if err != nil {
		return nil, err
	}
	defer source.Kill()
	node, err := t.node(ctx, nats, w.Market, "--batch-interval", w.Window.String())
	if err != nil {
		return nil, err
	}
	defer node.Kill()
	return t.load(ctx, node, subscribers, append(how, "--pick", "even", "--symbols", "10", "--warmup", "2s")...)
}
