package stream

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/tickcast/tickcast/pkg/market"
)

// sessionRow is one row of /v1/sessions.
type sessionRow struct {
	ID            string `json:"id"`
	Remote        string `json:"remote"`
	Encoding      string `json:"encoding"`
	OpenedAt      string `json:"opened_at"`
	Subscriptions int    `json:"subscriptions"`
	Wildcards     int    `json:"wildcards"`
	PendingBytes  int    `json:"pending_bytes"`
	QueueAgeMS    int64  `json:"queue_age_ms"`
	Slow          bool   `json:"slow"`
	Conflated     int64  `json:"conflated"`
	Dropped       int64  `json:"dropped"`
	Aggregated    int64  `json:"aggregated"`
	Sent          int64  `json:"sent"`
	SentBytes     int64  `json:"sent_bytes"`
	WaitingBytes  int    `json:"waiting_bytes"` // sent, and not taken by the kernel
	UnackedBytes  int    `json:"unacked_bytes"` // taken by the kernel, not acknowledged by the subscriber's
	UnsentBytes   int    `json:"unsent_bytes"`  // of those, not on the network yet
	RTTMicros     int64  `json:"rtt_us"`
	StuckMS       int64  `json:"stuck_ms"` // since the subscriber last took a byte while some wait
}

func (s *session) row() sessionRow {
	s.judge()
	kernel := s.wire.Kernel()
	r := sessionRow{
		ID: s.id(), Remote: s.remote, Encoding: s.enc.String(), OpenedAt: time.Unix(s.opened, 0).UTC().Format(time.RFC3339),
		Subscriptions: s.set.Len(), PendingBytes: s.pendingBytes(), QueueAgeMS: s.age().Milliseconds(), Slow: s.slow,
		Conflated: s.total.conflated, Dropped: s.total.dropped, Aggregated: s.total.aggregated,
		Sent: s.total.events, SentBytes: s.total.bytes, WaitingBytes: s.wire.Waiting(),
		UnackedBytes: kernel.Queued, UnsentBytes: kernel.NotSent, RTTMicros: kernel.RTT.Microseconds(),
		StuckMS: s.stuckFor().Milliseconds(),
	}
	if s.asked != nil {
		r.Subscriptions += len(s.asked.streams)
	}
	r.Wildcards = s.wildcards()
	return r
}

func (s *session) wildcards() (n int) {
	for _, ch := range market.AllChannels() {
		if s.set.All(ch) {
			n++
		}
	}
	return n
}

// sessionsAtOnce is how many rows a shard makes in one turn. A row takes two system calls, some
// 3 us together, and ticks wait for no more of them than this.
const sessionsAtOnce = 64

// serveSessions writes a row for each session that is open throughout. The rows of a piece are
// of one instant, and only a piece is held in memory.
func (n *Node) serveSessions(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	out, sep := json.NewEncoder(w), "["
	for _, sh := range n.shards {
		open, ok := inside(r.Context(), n, sh, func() []*session { return slices.Clone(sh.sessions) })
		for some := range slices.Chunk(open, sessionsAtOnce) {
			var rows []sessionRow
			if rows, ok = inside(r.Context(), n, sh, func() []sessionRow { return rowsOf(some) }); !ok {
				break
			}
			for i := range rows {
				if _, err := w.Write([]byte(sep)); err != nil {
					return
				}
				sep = ","
				_ = out.Encode(&rows[i]) // the next Write fails too
			}
		}
		if !ok {
			return // nobody waits, or the node ends
		}
	}
	if sep == "[" {
		_, _ = w.Write([]byte(sep))
	}
	_, _ = w.Write([]byte("]\n"))
}

func rowsOf(some []*session) []sessionRow {
	rows := make([]sessionRow, 0, len(some))
	for _, s := range some {
		if !s.closed {
			rows = append(rows, s.row())
		}
	}
	return rows
}

// inside returns what f does on the shard's goroutine, unless ctx or the node ends first.
func inside[T any](ctx context.Context, n *Node, sh *shard, f func() T) (v T, ok bool) {
	done := make(chan T, 1)
	sh.do(func() { done <- f() })
	select {
	case v = <-done:
		return v, true
	case <-ctx.Done():
	case <-n.ctx.Done():
	}
	return v, false
}
