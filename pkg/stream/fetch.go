package stream

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

const (
	fetchTimeout = 5 * time.Second
	fetchRetry   = 250 * time.Millisecond
	// checkGrace is how long ticks that the store already has may still be on their way
	// to this node before they count as lost.
	checkGrace = 250 * time.Millisecond
	// faultEvery is how often a store that cannot be read is told of, however often it is tried.
	faultEvery = 10 * time.Second
)

// lostSome asks for a check of every stream followed: the newest tick of a stream that went
// quiet since would not be missed by its number.
func (in *ingest) lostSome(reason string) {
	in.log.Warn("upstream messages may have been missed: every stream is checked", zap.String("reason", reason))
	in.mu.Lock()
	in.toCheck = true
	in.mu.Unlock()
	in.wake()
}

// fetchLoop asks the upstream's store for last ticks: of streams that sessions begin to
// want, and of all when messages were missed.
func (in *ingest) fetchLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-in.kick:
		}
		for in.fetchOnce(ctx) {
			if !sleep(ctx, fetchRetry) {
				return
			}
		}
	}
}

// fetchOnce does what is due and reports whether it must be tried again.
func (in *ingest) fetchOnce(ctx context.Context) (again bool) {
	in.mu.Lock()
	fetching, checking := in.toFetch, in.toCheck
	in.toFetch, in.toCheck = nil, false
	var held []*tape
	if checking {
		for _, t := range in.byID {
			if t != nil && t.state == tapeLive {
				held = append(held, t)
			}
		}
	}
	in.mu.Unlock()

	if err := in.fetch(ctx, fetching, in.live); err != nil {
		in.putBack(fetching, checking, err)
		return ctx.Err() == nil
	}
	if len(held) == 0 {
		return false
	}
	newer := make(map[*tape]stored)
	if err := in.fetch(ctx, held, func(t *tape, c stored) {
		if c.chunk != nil && c.chunk.Last > t.last {
			newer[t] = c
		}
	}); err != nil {
		in.putBack(nil, true, err)
		return ctx.Err() == nil
	}
	if len(newer) == 0 || !sleep(ctx, checkGrace) {
		return false
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.now = in.clock.now()
	for t, c := range newer {
		if t.state == tapeLive {
			in.accept(t, c.chunk, c.reset)
		}
	}
	in.flush()
	return false
}

func (in *ingest) putBack(fetching []*tape, checking bool, err error) {
	if now, _ := in.up.Connected(); now {
		in.unread.Do(func() { in.log.Warn("last ticks not read, trying again", zap.Error(err)) })
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.toFetch = append(fetching, in.toFetch...)
	in.toCheck = in.toCheck || checking
}

// stored is a message out of the store; chunk is nil where there is none.
type stored struct {
	chunk *codec.Chunk
	reset int64
}

// fetch asks for the last tick of each tape and calls found for every one, under the lock.
func (in *ingest) fetch(ctx context.Context, tapes []*tape, found func(*tape, stored)) error {
	if len(tapes) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	streams := make([]market.Stream, len(tapes))
	for i, t := range tapes {
		streams[i] = t.stream
	}
	chunks := make(map[market.Stream]stored, len(tapes))
	err := in.up.Last(ctx, streams, func(s market.Stream, body []byte) {
		c, reset, err := codec.ParseChunk(s, body)
		if err != nil {
			in.bad(in.up.Subject(s), err)
			return
		}
		chunks[s] = stored{c, reset}
	})
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, t := range tapes {
		found(t, chunks[t.stream])
	}
	in.flush()
	return nil
}

// sleep waits, and reports whether ctx still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
