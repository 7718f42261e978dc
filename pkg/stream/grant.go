package stream

import (
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// fresh as the seq after which a session wants a stream: it has had nothing of it.
const fresh = -1

// A grant lets a session have a stream from a known seq on. It is carried out by the
// session's shard, in order with the chunks before and after it.
type grant struct {
	shard int
	after int64 // the session has what came up to here, or fresh
	until int64 // when it is served with what there is; set once the tape is live
	do    func(tail)
	all   *allGrant // when the session waits for a whole channel
}

// An allGrant waits until every stream of a channel is live, and what it asked for is there.
type allGrant struct {
	shard   int
	missing int
	after   map[market.Stream]int64
	past    map[*tape]tail // of those that had to be searched for
	do      func(tapes []tail)
}

// A tail is how a stream ends at one instant. Its chunks are shared, and never change.
type tail struct {
	tape  *tape
	last  int64
	chunk *codec.Chunk // ends with last; nil where the stream has none
	past  []past       // what the session asked for after a seq, as far as it is held
	reset int64        // numbers before past that are known to be unused end here
}

// end returns the stream's tail for a session that has what came up to after.
func (t *tape) end(after int64) tail {
	tl := tail{tape: t, last: t.last, chunk: t.tail}
	if after != fresh && after < t.last && t.stream.Channel == market.ChannelTrade {
		tl.past, tl.reset = t.history.from(after+1), t.history.resetBefore()
	}
	return tl
}

// follow carries the tail on to where a later one ends.
func (tl tail) follow(later tail) tail {
	from := tl.last + 1
	if n := len(tl.past); n > 0 {
		from = tl.past[n-1].chunk.Last + 1
	}
	later.past = join(tl.past, later.tape.history.from(from))
	later.reset = tl.reset
	return later
}

// want follows the stream for a session of the shard that has what came up to after. do is
// called in the shard, in order with the stream's ticks, once the last tick is known, and
// what the session missed, as far as it can be had.
func (in *ingest) want(t *tape, shard int, after int64, do func(tail)) {
	in.mu.Lock()
	defer in.mu.Unlock()
	t.wanted |= 1 << shard
	in.follow(t)
	t.waiting = append(t.waiting, grant{shard: shard, after: after, do: do})
	in.serveOrSearch(t)
	in.flush()
}

// follow makes an idle tape live by way of a fetch. Caller holds mu.
func (in *ingest) follow(t *tape) {
	if t.state != tapeIdle {
		return
	}
	if !in.liveAll[t.stream.Channel] {
		in.subscribe(t)
	}
	t.state, t.last = tapeFetching, 0
	in.toFetch = append(in.toFetch, t)
	in.wake()
}

// serve grants the stream to those who wait for nothing more, or for too long. Caller holds
// mu, and flushes.
func (in *ingest) serve(t *tape) {
	if t.state != tapeLive {
		return
	}
	kept := t.waiting[:0]
	for _, g := range t.waiting {
		if g.until == 0 {
			g.until = in.now + int64(resumeFor)
		}
		if in.now < g.until && !t.reaches(g.after) {
			kept = append(kept, g)
			continue
		}
		in.grant(t, g)
	}
	clear(t.waiting[len(kept):])
	if t.waiting = kept; len(kept) == 0 {
		t.waiting = nil
	}
}

// serveOrSearch is serve for those who have just come. Caller holds mu, and flushes.
func (in *ingest) serveOrSearch(t *tape) {
	in.serve(t)
	if t.state == tapeLive && len(t.waiting) > 0 {
		in.search(t)
	}
}

// grant sends the session its stream. Caller holds mu, and flushes.
func (in *ingest) grant(t *tape, g grant) {
	tl := t.end(g.after)
	if g.all == nil {
		in.out[g.shard] = append(in.out[g.shard], item{tape: t, do: func() { g.do(tl) }})
		return
	}
	if g.after != fresh {
		g.all.past[t] = tl
	}
	if g.all.missing--; g.all.missing == 0 {
		in.grantAll(t.stream.Channel, g.all)
	}
}

// release says that no session of the shard names the stream any more.
func (in *ingest) release(t *tape, shard int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	t.wanted &^= 1 << shard
	t.idleAt = in.clock.now()
}

// wantAll follows every stream of the channel for a session of the shard, those of symbols
// yet unknown too. do is called in the shard once the last tick of each known stream is
// known, and what came after the seqs that the session names.
func (in *ingest) wantAll(ch market.Channel, shard int, after map[market.Stream]int64, do func(tapes []tail)) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.wildcards[ch] |= 1 << shard
	in.idleAll[ch] = 0
	if !in.liveAll[ch] {
		in.try(in.up.SubscribeAll(ch))
		in.liveAll[ch] = true
		in.sinceAll[ch] = in.clock.now()
	}
	all := &allGrant{shard: shard, after: after, past: make(map[*tape]tail), do: do, missing: 1}
	for _, t := range in.byID {
		if t == nil || t.stream.Channel != ch || !t.listed {
			continue
		}
		in.follow(t)
		seq, named := after[t.stream]
		if !named {
			seq = fresh
		}
		if t.state != tapeLive || !t.reaches(seq) {
			all.missing++
			t.waiting = append(t.waiting, grant{after: seq, all: all})
			in.serveOrSearch(t)
		}
	}
	if all.missing--; all.missing == 0 {
		in.grantAll(ch, all)
	}
	in.flush()
}

// grantAll sends the session its channel. Caller holds mu, and flushes.
func (in *ingest) grantAll(ch market.Channel, all *allGrant) {
	var tapes []tail
	for _, t := range in.byID {
		if t == nil || t.stream.Channel != ch || !t.listed {
			continue
		}
		seq, named := all.after[t.stream]
		if !named {
			seq = fresh
		}
		tl := t.end(seq)
		if searched, ok := all.past[t]; ok {
			tl = searched.follow(tl) // the history may have been let go since
		}
		tapes = append(tapes, tl)
	}
	in.out[all.shard] = append(in.out[all.shard], item{do: func() { all.do(tapes) }})
}

// releaseAll says that no session of the shard has a wildcard on the channel any more.
func (in *ingest) releaseAll(ch market.Channel, shard int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.wildcards[ch] &^= 1 << shard
	in.idleAll[ch] = in.clock.now()
}

// live makes a fetched tape live and serves who waited. found is the stored last tick; its
// chunk is nil where there is none. Caller holds mu, and flushes.
func (in *ingest) live(t *tape, found stored) {
	if t.state != tapeFetching {
		return
	}
	switch {
	case found.chunk != nil && found.chunk.Last > t.last:
		found.chunk.Stream = uint32(t.id)
		t.last, t.tail = found.chunk.Last, found.chunk
		t.listed = true
		in.forget(t) // what came meanwhile may not reach up to it
		in.keep(t, past{chunk: found.chunk, reset: found.reset})
	case t.last == 0 && t.tail != nil:
		t.last = t.tail.Last // from an earlier time; newer numbers will show as a gap
	}
	t.state = tapeLive
	in.serveOrSearch(t)
}
