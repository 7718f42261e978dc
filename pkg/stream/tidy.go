package stream

import (
	"context"
	"time"

	"github.com/tickcast/tickcast/pkg/market"
)

// tidyLoop lets go of streams that nobody has wanted for the linger time, and sums up the hops.
func (in *ingest) tidyLoop(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			in.tidy(in.clock.now())
			in.hops.sum(in.clock.now())
		}
	}
}

// overlap is how long an old subscription stays beside the one that takes its place: the new
// one takes effect a moment after it is made, and what comes by both is told by its numbers.
const overlap = 2 * time.Second

func (in *ingest) tidy(now int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.now = now
	for _, ch := range market.AllChannels() {
		if in.endingAll[ch] != 0 && now-in.endingAll[ch] >= int64(overlap) {
			in.endingAll[ch] = 0
			if !in.liveAll[ch] {
				in.up.UnsubscribeAll(ch)
			}
		}
		if in.liveAll[ch] && in.wildcards[ch] == 0 && now-in.idleAll[ch] >= in.linger {
			in.endAll(ch, now)
		}
	}
	for _, t := range in.byID {
		if t == nil {
			continue
		}
		ch := t.stream.Channel
		switch {
		case in.liveAll[ch]:
			if now-in.sinceAll[ch] >= int64(overlap) {
				in.unsubscribe(t) // the wildcard brings it
			}
		case t.state == tapeLive && in.interested(t) == 0 && now-t.idleAt >= in.linger:
			in.unsubscribe(t)
			in.leave(t)
		}
	}
	in.age()
}

// leave stops following a tape that nobody wants.
func (in *ingest) leave(t *tape) {
	t.state = tapeIdle
	t.held, t.heldBytes = nil, 0
	in.forget(t)
}

// endAll begins to give the channel's wildcard up: streams that are still named are subscribed
// one by one first, and the wildcard ends when those are in effect, so that no tick falls
// between.
func (in *ingest) endAll(ch market.Channel, now int64) {
	for _, t := range in.byID {
		if t == nil || t.stream.Channel != ch || t.state == tapeIdle {
			continue
		}
		if t.wanted != 0 || t.state == tapeFetching {
			in.subscribe(t)
		} else {
			in.unsubscribe(t)
			in.leave(t)
		}
	}
	in.liveAll[ch], in.idleAll[ch], in.endingAll[ch] = false, 0, now
}
