package stream

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/subscribe"
)

// A view is one ingest as a shard sees it: who of the shard's sessions wants what of it. The
// first is that of the node's own ingest, the others are late. A session has one view.
type view struct {
	sh      *shard
	in      *ingest
	index   [groupsMax]subscribe.Index[*session, option] // by group.n
	refs    map[subscribe.ID]int                         // sessions of this shard that name the stream
	refsAll [market.Channels]int                         // and those with a wildcard
	symbols []string                                     // by ID of any of their streams; read by symbolOf
}

func newView(sh *shard, in *ingest) *view {
	return &view{sh: sh, in: in, refs: make(map[subscribe.ID]int)}
}

// viewOf is the shard's view of the ingest.
func (sh *shard) viewOf(in *ingest) *view {
	for len(sh.views) <= in.n {
		sh.views = append(sh.views, nil)
	}
	if sh.views[in.n] == nil {
		sh.views[in.n] = newView(sh, in)
	}
	return sh.views[in.n]
}

// symbolOf is the symbol of a stream that the ingest knows. The view remembers it, so that a
// tick takes no lock.
func (v *view) symbolOf(id subscribe.ID) string {
	n := int(id / subscribe.MakeID(1, 0))
	for n >= len(v.symbols) {
		v.symbols = append(v.symbols, "")
	}
	if v.symbols[n] == "" {
		v.symbols[n] = v.in.tapeByID(id).stream.Symbol
	}
	return v.symbols[n]
}

// name and unname count the sessions that want a stream by name, and tell the ingest when
// the last one has let go.
func (v *view) name(id subscribe.ID) { v.refs[id]++; v.sh.counts.subscriptions.Add(1) }

func (v *view) unname(id subscribe.ID) {
	v.sh.counts.subscriptions.Add(-1)
	if v.refs[id]--; v.refs[id] == 0 {
		delete(v.refs, id)
		if int(id) < len(v.sh.wantedBy) {
			v.sh.wantedBy[id] = 0
		}
		v.in.release(v.in.tapeByID(id), v.sh.n)
	}
}

func (v *view) nameAll(ch market.Channel) { v.refsAll[ch]++; v.sh.counts.subscriptions.Add(1) }

func (v *view) unnameAll(ch market.Channel) {
	v.sh.counts.subscriptions.Add(-1)
	if v.refsAll[ch]--; v.refsAll[ch] == 0 {
		v.in.releaseAll(ch, v.sh.n)
	}
}

// delaysMax is how many different delays a node keeps.
const delaysMax = 16

var errDelays = errors.New("the node keeps no more different delays")

// ingestAt is the ingest that is so much behind the market: it begins when the first session
// needs it, and stays.
func (n *Node) ingestAt(delay time.Duration) (*ingest, error) {
	if delay == 0 {
		return n.in, nil
	}
	n.lateMu.Lock()
	defer n.lateMu.Unlock()
	if in := n.late[delay]; in != nil {
		return in, nil
	}
	if len(n.late) == delaysMax {
		return nil, errDelays
	}
	d := newDelayed(n.fan, delay, n.clock, n.cfg.DelayBytes)
	d.in = n.newIngest(d, len(n.late)+1)
	n.fan.add(d)
	for _, l := range n.in.listing() {
		channels := make([]market.Channel, 0, len(l.Channels))
		for _, name := range l.Channels {
			ch, _ := market.ParseChannel(name)
			channels = append(channels, ch)
		}
		d.in.announced(l.Symbol, channels)
	}
	n.late[delay] = d.in
	n.begin(func() {
		if err := d.in.run(n.ctx); err != nil {
			n.log.Error("delayed ingest ends", zap.Duration("delay", delay), zap.Error(err))
		}
	})
	return d.in, nil
}

// begin runs f in a goroutine that ends with the node, or reports that the node has ended.
func (n *Node) begin(f func()) bool {
	n.runMu.Lock()
	defer n.runMu.Unlock()
	if n.ctx.Err() != nil {
		return false
	}
	n.running.Go(f)
	return true
}

// endRunning ends what was begun, and waits for it.
func (n *Node) endRunning() {
	n.runMu.Lock()
	n.end()
	n.runMu.Unlock()
	n.running.Wait()
}

// newIngest makes the n-th ingest, for the shards of the node.
func (n *Node) newIngest(up Upstream, nth int) *ingest {
	in := newIngest(up, &n.cfg, n.clock, func(shard int, items []item) { n.shards[shard].inbox.put(items...) })
	in.full = n.crowded
	if in.n = nth; nth > 0 {
		in.ids = n.in.ids
	}
	return in
}

// crowded is an ingest's full.
func (n *Node) crowded() <-chan struct{} {
	for _, sh := range n.shards {
		if room := sh.inbox.full(); room != nil {
			return room
		}
	}
	return nil
}
