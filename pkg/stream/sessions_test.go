package stream

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
)

// TestSessionsAreListedAFewATurn states that the page of a full node is no long turn for
// anybody, and has each session once, but for those that end meanwhile.
func TestSessionsAreListedAFewATurn(t *testing.T) {
	const sessions, ended = 5*sessionsAtOnce + 1, 3
	h := newHandShard(t, Config{})
	for range sessions {
		h.subscriber(codec.MsgPack, backpressure.DropOldest, "A")
	}
	for h.turn(); len(h.inbox.items) > 0; h.turn() {
	}
	woken := make(chan struct{}, 1)
	h.inbox.wake = func() { woken <- struct{}{} }
	n := &Node{shards: []*shard{h.shard}, ctx: t.Context()}

	answer, done := httptest.NewRecorder(), make(chan struct{})
	go func() {
		n.serveSessions(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/sessions", nil))
		close(done)
	}()
	turns := 0
	for over := false; !over; {
		select {
		case <-woken:
			h.turn()
			if turns++; turns == 1 { // they are listed, and gone when it is their turn
				for range ended {
					h.sessions[len(h.sessions)-1].gone(closeAbnormal)
				}
			}
		case <-done:
			over = true
		}
	}
	var rows []sessionRow
	if err := json.Unmarshal(answer.Body.Bytes(), &rows); err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	for _, r := range rows {
		ids[r.ID] = true
	}
	if len(rows) != sessions-ended || len(ids) != len(rows) {
		t.Errorf("%d rows of %d sessions, want %d", len(rows), len(ids), sessions-ended)
	}
	if want := 1 + (sessions+sessionsAtOnce-1)/sessionsAtOnce; turns != want {
		t.Errorf("%d turns, want %d: one to see who is there, then %d rows in each", turns, want, sessionsAtOnce)
	}
}

func TestNobodyWaitsForAListThatNobodyTakes(t *testing.T) {
	h := newHandShard(t, Config{}) // which takes no turn
	over, end := context.WithCancel(t.Context())
	end()
	for name, n := range map[string]*Node{
		"the node has ended": {shards: []*shard{h.shard}, ctx: over},
		"the asker has gone": {shards: []*shard{h.shard}, ctx: t.Context()},
	} {
		t.Run(name, func(t *testing.T) {
			n.serveSessions(httptest.NewRecorder(), httptest.NewRequestWithContext(over, http.MethodGet, "/v1/sessions", nil))
		})
	}
}

func TestAnEmptyListIsOne(t *testing.T) {
	answer := httptest.NewRecorder()
	(&Node{}).serveSessions(answer, httptest.NewRequest(http.MethodGet, "/v1/sessions", nil))
	if got := answer.Body.String(); got != "[]\n" {
		t.Errorf("got %q", got)
	}
}
