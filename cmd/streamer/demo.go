package main

import (
	"context"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/internal/options"
	"github.com/tickcast/tickcast/pkg/bus"
	"github.com/tickcast/tickcast/pkg/feed"
	"github.com/tickcast/tickcast/pkg/feed/replay"
	"github.com/tickcast/tickcast/pkg/feed/sim"
)

// demoSource is what --demo shows: the simulator, or a recording that begins again at its
// end, with its times moved to now.
func (o *opts) demoSource(log *zap.Logger) (s feed.Source, err error) {
	if o.Recording == "" {
		s, err = sim.New(sim.Config{Symbols: o.Symbol, Rate: o.Rate, Seed: 1})
	} else {
		s, err = replay.New(o.Recording, replay.Config{Speed: o.Speed, Loop: true, Retime: true}, log.Named("replay"))
	}
	return s, options.Dashed(err)
}

func (p *program) runDemoFeed(ctx context.Context, b *bus.Bus) error {
	var c feed.Config
	if p.tracer != nil {
		c.Trace, c.TraceEvery = p.tracer.Feed, p.TraceEvery
	}
	if err := b.Ready(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return feed.New(p.demo, b, c, p.log.Named("feed")).Run(ctx)
}
