package stream

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/tickcast/tickcast/pkg/auth"
)

// admit checks who asks for an upgrade: how many he has already, how many come at once, and his
// token. The seat that it takes is to be left.
func (n *Node) admit(r *http.Request, address netip.Addr) (*seat, *rights, *refusal) {
	seat, ok := n.seats.take(network(address))
	if !ok {
		return nil, nil, tooMany("too many connections from this address", 5)
	}
	var g *auth.Grant
	var no *refusal
	if awaitTurn(r.Context(), n.handshakes) {
		g, no = n.authorize(r)
	} else {
		no = busy("too many handshakes", 2)
	}
	if g != nil && no == nil && !seat.give(g.Holder, g.MaxConnections) {
		no = tooMany("too many connections for this token", 5)
	}
	if no != nil {
		seat.leave()
		return nil, nil, no
	}
	if n.gate == nil {
		return seat, nil, nil
	}
	return seat, &rights{gate: n.gate, grant: g}, nil
}

// thenClose has the connection end behind the answer: who was refused keeps no place in the lobby.
func (no *refusal) thenClose() {
	if hasToken(no.header, "Connection", "close") {
		return
	}
	if no.header == nil {
		no.header = make(http.Header)
	}
	no.header["Connection"] = []string{strings.Join(append(no.header["Connection"], "close"), ", ")}
}

func busy(reason string, retryS int) *refusal {
	return &refusal{status: http.StatusServiceUnavailable, reason: reason, header: http.Header{"Retry-After": {strconv.Itoa(retryS)}}}
}

func tooMany(reason string, retryS int) *refusal {
	return &refusal{status: http.StatusTooManyRequests, reason: reason, header: http.Header{"Retry-After": {strconv.Itoa(retryS)}}}
}

// refuse answers at once, or, where more are refused than may shake hands, as late as a handshake
// may be: a crowd that asks again as soon as it has its answer is to cost no more than one that
// is let in. Whoever waits is one of Config.MaxHTTPConnections, and the first to make room.
func (n *Node) refuse(w http.ResponseWriter, r *http.Request, no *refusal) {
	if refused, ok := r.Context().Value(refusedKey{}).(func()); ok {
		refused()
	}
	if !n.refusals.Allow() {
		sleep(r.Context(), handshakeWaitMax)
	}
	no.write(w)
}

// remoteName is the peer, and the client that it speaks for where that is another.
func remoteName(peer string, client netip.Addr) string {
	if p, err := netip.ParseAddrPort(peer); err != nil || p.Addr().Unmap() == client {
		return peer
	}
	return client.String() + " through " + peer
}
