package stream

import (
	"net/http"

	"github.com/tickcast/tickcast/pkg/auth"
)

// guarded puts in front of a page what the stream has in front of an upgrade: its turn, the
// token, which origins' scripts may read the answer, and how often an address may ask.
func (n *Node) guarded(serve func(http.ResponseWriter, *http.Request, *rights)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n.shareWith(w, r)
		g, no := n.admitToPage(r)
		switch {
		case no != nil:
			n.pagesRefused.Add(1)
			n.refuse(w, r, no)
		case g == nil:
			serve(w, r, nil)
		default:
			serve(w, r, &rights{gate: n.gate, grant: g})
		}
	}
}

func (n *Node) admitToPage(r *http.Request) (*auth.Grant, *refusal) {
	if !n.pages.take(n.clock.now(), network(clientAddress(r, n.cfg.TrustedProxies))) {
		return nil, tooMany("too many requests from this address", 1)
	}
	if !awaitTurn(r.Context(), n.handshakes) {
		return nil, busy("too many requests", 2)
	}
	g, no := n.authorize(r)
	if n.gate != nil && g == nil && no == nil {
		n.gate.failed(authMissing)
		no = unauthorized("a token is required", "Bearer")
	}
	return g, no
}

// preflight answers a browser that asks before it sends a token to another origin.
func (n *Node) preflight(w http.ResponseWriter, r *http.Request) {
	if n.shareWith(w, r) {
		h := w.Header()
		h.Set("Access-Control-Allow-Methods", "GET")
		h.Set("Access-Control-Allow-Headers", "Authorization")
		h.Set("Access-Control-Max-Age", "600")
	}
	w.WriteHeader(http.StatusNoContent)
}

// shareWith lets the request's origin read the answer if it is one that may connect. Cookies
// are no business of ours: credentials are not allowed.
func (n *Node) shareWith(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || !checkOrigin(r, n.cfg.AllowedOrigins) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	return true
}

func (no *refusal) write(w http.ResponseWriter) {
	for name, values := range no.header {
		w.Header()[name] = values
	}
	http.Error(w, no.reason, no.status)
}
