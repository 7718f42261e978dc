package stream

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// Where the lobby is full, who has waited longest makes room, and nobody in his first second or
// while he is answered.
func TestWhoHasWaitedLongestMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &Node{clock: newClock(), lobby: newLobby(&Config{MaxHTTPConnections: 3})}
		comes := func() *addressed {
			c := &addressed{address: "192.0.2.1:1"}
			n.connState(c, http.StateNew)
			return c
		}
		silent, asking, refused := comes(), comes(), comes()
		n.connState(asking, http.StateActive)
		n.connState(refused, http.StateActive)
		n.lobby.wait(refused, n.clock.now())
		if !comes().closed {
			t.Error("there is room for a fourth at once")
		}
		time.Sleep(placeKept)
		for i, longest := range []*addressed{silent, refused} {
			if c := comes(); c.closed || !longest.closed {
				t.Errorf("%d: the newcomer is closed: %v; who has waited longest: %v", i, c.closed, longest.closed)
			}
		}
		n.connState(refused, http.StateClosed)
		if !comes().closed || asking.closed {
			t.Error("who is answered made room")
		}
		n.connState(asking, http.StateIdle)
		time.Sleep(placeKept)
		for range 2 { // the newcomers of before
			comes()
		}
		if asking.closed || comes().closed || !asking.closed {
			t.Error("who asks no more does not make room in his turn")
		}
		if got := n.refused[len(refusedWith)-1].Load(); got != 7 {
			t.Errorf("%d count as unread, want 7", got)
		}
	})
}
