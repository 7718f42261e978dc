package stream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tickcast/tickcast/pkg/market"
)

// A forgetful upstream is connected, and its store cannot be read.
type forgetful struct{ deaf }

func (forgetful) Connected() (now, ever bool) { return true, true }
func (forgetful) Known() bool                 { return true }

func (forgetful) Last(context.Context, []market.Stream, func(market.Stream, []byte)) error {
	return errors.New("no store")
}

func TestAStoreThatCannotBeReadIsToldOfNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		cfg := Config{Log: zap.New(core)}.withDefaults()
		in := newIngest(forgetful{}, &cfg, newClock(), func(int, []item) {})
		in.toFetch = []*tape{in.tapeOf(market.Stream{Channel: market.ChannelTrade, Symbol: "A"})}
		ctx, cancel := context.WithTimeout(t.Context(), 2*faultEvery+time.Second)
		defer cancel()
		in.wake()
		in.fetchLoop(ctx)
		if n := logs.Len(); n != 3 {
			t.Errorf("%d lines in %v, want 3", n, 2*faultEvery)
		}
	})
}
