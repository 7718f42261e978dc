package stream

import (
	"time"

	"github.com/tickcast/tickcast/pkg/market"
)

// How much of the recent trades a node keeps in memory. What it has let go is still in the
// upstream's store, so this is for speed alone: a crowd that comes from a node which has
// stopped asks for the last seconds.

// historyLimits bound the histories of all tapes.
type historyLimits struct {
	age   time.Duration // entries are let go when they are older
	bytes int           // or sooner, all tapes' alike, so that no more are held
}

// openShare is which part of the time that ticks stay in memory some of them may stay longer:
// those that are let go with what came after them.
const openShare = 4

// keep remembers trades that were taken. Caller holds mu.
func (in *ingest) keep(t *tape, p past) {
	if t.stream.Channel != market.ChannelTrade {
		return
	}
	p.at = in.now
	in.grown(t.history.add(p, in.horizon/openShare))
}

// recall remembers trades that were found in the store, as far as they are older than those
// remembered. Caller holds mu.
func (in *ingest) recall(t *tape, found []past) {
	first := t.earliest()
	older := make([]past, 0, len(found))
	for _, p := range found {
		// One that ends beyond the last tick taken comes by itself, or has a part of it.
		if p.chunk.First < first && p.chunk.Last <= t.last {
			p.at = in.now
			older = append(older, p)
		}
	}
	in.grown(t.history.fill(older))
}

// forget lets go of the whole history.
func (in *ingest) forget(t *tape) {
	in.grown(-t.history.trim(in.now + 1))
}

func (in *ingest) grown(bytes int) {
	if in.kept += bytes; in.kept > in.limits.bytes {
		in.shrink()
	}
}

// shrink shortens the time for which entries are kept until a quarter of the room is free.
func (in *ingest) shrink() {
	for in.kept > in.limits.bytes*3/4 && in.horizon > 0 {
		in.horizon /= 2
		in.trim()
	}
}

func (in *ingest) trim() {
	then := in.now - in.horizon
	if in.horizon == 0 {
		then++ // of this very moment, even
	}
	for _, t := range in.byID {
		if t != nil && t.stream.Channel == market.ChannelTrade {
			in.kept -= t.history.trim(then)
		}
	}
	in.metrics.kept.Store(int64(in.kept))
}

// age lets go of what is too old, once a second. Caller holds mu.
func (in *ingest) age() {
	if in.kept < in.limits.bytes/2 {
		in.horizon = min(max(2*in.horizon, int64(time.Second)), int64(in.limits.age))
	}
	in.trim()
}
