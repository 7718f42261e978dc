package main

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/bus"
	"github.com/tickcast/tickcast/pkg/feed"
	"github.com/tickcast/tickcast/pkg/feed/replay"
	"github.com/tickcast/tickcast/pkg/feed/sim"
)

// demoSource is what --demo shows: the simulator, or a recording that begins again at its
// end, with its times moved to now.
func (o *opts) demoSource(log *zap.Logger) (s feed.Source, err error) {
	option := "symbols"
	if o.Recording == "" {
		s, err = sim.New(sim.Config{Symbols: o.Symbol, Rate: o.Rate, Seed: 1})
	} else {
		option = "file"
		s, err = replay.New(o.Recording, replay.Config{Speed: o.Speed, Loop: true, Retime: true}, log.Named("replay"))
	}
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", option, err)
	}
	return s, nil
}

func runDemoFeed(ctx context.Context, source feed.Source, cfg feed.Config, b *bus.Bus, log *zap.Logger) error {
	if err := b.Ready(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return feed.New(source, b, cfg, log.Named("feed")).Run(ctx)
}
