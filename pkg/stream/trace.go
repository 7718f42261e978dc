package stream

import (
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// One tick in many is followed through the node, or has times that are known: the feed marks its
// message with a header. Everything here happens for those alone. What other ticks pay is a look
// at a nil header, and at an empty list for each session of a flush.

// An Arrival is a message with a header that reached the node.
type Arrival struct {
	Header      map[string][]string
	Stream      market.Stream
	First, Last int64 // seqs
	At          time.Time
}

// A Flush is what a shard did with an arrival, in the first flush that saw it.
type Flush struct {
	Shard    int
	Gathered time.Time // taken out of the shard's inbox
	Begun    time.Time // when the batches were begun
	Sessions int       // of the shard that name the stream, or have its wildcard
	Socket   []SocketFlush
}

// A SocketFlush is what a flush did for one session.
type SocketFlush struct {
	Session  string
	Encoding codec.Encoding
	Done     time.Time
	Waits    bool // the session is behind, or has an interval: the tick may not have left
}

// A TraceFunc is told of an arrival, and returns what is called with the flush of each shard
// that sessions of which want the stream; nil if nobody cares. It and what it returns are
// called by goroutines that ticks wait for, the latter by several at once.
type TraceFunc func(Arrival) func(Flush)

// socketsTraced is how many sessions a Flush tells of.
const socketsTraced = 3

// A trace is an arrival that is followed, or that tells its times, or both.
type trace struct {
	flushed func(Flush) // nil: it is not followed
	timed   *hops       // nil: it tells nothing
}

// A shardTrace is one in a shard.
type shardTrace struct {
	*trace
	tape     *tape
	gathered int64 // Unix ns
	begun    int64 // Unix ns; 0 before the flush
	sessions int
	chosen   []*session
	done     []SocketFlush
}

func (in *ingest) traceOf(header map[string][]string, t *tape, c *codec.Chunk) *trace {
	var tr trace
	if in.tracer != nil {
		tr.flushed = in.tracer(Arrival{Header: header, Stream: t.stream, First: c.First, Last: c.Last, At: time.Unix(0, in.wall)})
	}
	if times, ok := codec.TimesOf(header); ok && c.Last > t.newest() {
		in.hops.came(times, in.at, in.wall)
		tr.timed = &in.hops
	}
	if tr.flushed == nil && tr.timed == nil {
		return nil
	}
	return &tr
}

// follow takes up the trace of what a shard gathers.
func (g *group) follow(it *item) {
	tr := it.trace
	if tr.flushed != nil {
		g.traces = append(g.traces, shardTrace{trace: tr, tape: it.tape, gathered: g.sh.wall})
	}
	if tr.timed != nil {
		g.timings = append(g.timings, timing{tr.timed, it.chunk.At})
	}
}

// chooseTraced picks the sessions that the traces of this flush tell of.
func (g *group) chooseTraced() {
	for i := range g.traces {
		tr := &g.traces[i]
		tr.begun = g.sh.wallNow()
		x := g.indexOf(tr.tape)
		named, wild := x.Named(tr.tape.id), x.Wild(tr.tape.stream.Channel)
		tr.sessions = len(named) + len(wild)
		for k := 0; k < len(named) && len(tr.chosen) < socketsTraced; k++ {
			tr.chosen = append(tr.chosen, named[k].Owner)
		}
		for k := 0; k < len(wild) && len(tr.chosen) < socketsTraced; k++ {
			if s := wild[k].Owner; !x.Excepts(s, tr.tape.id) {
				tr.chosen = append(tr.chosen, s)
			}
		}
	}
}

// traceFlushed notes that the session has been flushed, if a trace tells of it.
func (g *group) traceFlushed(s *session) {
	for i := range g.traces {
		tr := &g.traces[i]
		for _, of := range tr.chosen {
			if of == s {
				tr.done = append(tr.done, SocketFlush{
					Session: s.id(), Encoding: s.enc, Done: time.Unix(0, g.sh.wallNow()), Waits: s.busy || s.pendingBytes() > 0,
				})
			}
		}
	}
}

// endTraces tells of what was followed.
func (g *group) endTraces() {
	for i := range g.traces {
		tr := &g.traces[i]
		if tr.begun == 0 {
			tr.begun = g.sh.wall // nobody wants it any more
		}
		tr.flushed(Flush{
			Shard: g.sh.n, Gathered: time.Unix(0, tr.gathered), Begun: time.Unix(0, tr.begun), Sessions: tr.sessions, Socket: tr.done,
		})
	}
	clear(g.traces)
	g.traces = g.traces[:0]
}

// wallNow is the wall clock as of now, where sh.wall is that of the turn's beginning.
func (sh *shard) wallNow() int64 { return sh.wall + sh.clock.now() - sh.now }
