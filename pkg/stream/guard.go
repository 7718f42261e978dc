package stream

import (
	"net/http"

	"github.com/tickcast/tickcast/pkg/auth"
)

// streamPath has bounds of its own, and is no page.
const streamPath = "/v1/stream"

// paced holds every page to how often its address may ask, and to how many are asked for in a
// second: files, what is not there, and what is the mux's own answer cost as much as what is.
func (n *Node) paced(serve http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var no *refusal
		switch {
		case r.URL.Path == streamPath:
		case !n.pages.take(n.clock.now(), network(clientAddress(r, n.cfg.TrustedProxies))):
			no = tooMany("too many requests from this address", 1)
		case !awaitTurn(r.Context(), n.pageTurns):
			no = busy("too many requests", 2)
		}
		if no == nil {
			serve.ServeHTTP(w, r)
			return
		}
		n.shareWith(w, r)
		n.refusePage(w, r, no)
	}
}

// guarded puts in front of a page what the stream has in front of an upgrade: the token, and
// which origins' scripts may read the answer.
func (n *Node) guarded(serve func(http.ResponseWriter, *http.Request, *rights)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n.shareWith(w, r)
		g, no := n.admitToPage(r)
		switch {
		case no != nil:
			n.refusePage(w, r, no)
		case g == nil:
			serve(w, r, nil)
		default:
			serve(w, r, &rights{gate: n.gate, grant: g})
		}
	}
}

func (n *Node) refusePage(w http.ResponseWriter, r *http.Request, no *refusal) {
	n.pagesRefused.Add(1)
	n.refuse(w, r, no)
}

func (n *Node) admitToPage(r *http.Request) (*auth.Grant, *refusal) {
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
