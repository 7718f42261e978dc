package stream

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// Listed is one row of /v1/symbols.
type Listed struct {
	Symbol   string   `json:"symbol"`
	Channels []string `json:"channels"`
}

// Register adds the node's public paths.
func (n *Node) Register(mux *http.ServeMux) {
	mux.HandleFunc(streamPath, n.ServeStream)
	for path, serve := range map[string]func(http.ResponseWriter, *http.Request, *rights){
		"/v1/symbols": n.serveSymbols, "/v1/snapshot": n.serveSnapshot,
	} {
		mux.HandleFunc("GET "+path, n.guarded(serve))
		mux.HandleFunc("OPTIONS "+path, n.preflight)
	}
}

// RegisterAdmin adds the paths that operators and probes ask.
func (n *Node) RegisterAdmin(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := n.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	mux.HandleFunc("GET /v1/sessions", n.serveSessions)
}

func (n *Node) serveSymbols(w http.ResponseWriter, _ *http.Request, may *rights) {
	listing := n.in.listing()
	if may == nil {
		writeJSON(w, listing)
		return
	}
	visible := []Listed{}
	for _, l := range listing {
		l.Channels = slices.DeleteFunc(l.Channels, func(name string) bool {
			ch, _ := market.ParseChannel(name)
			return !may.allows(l.Symbol, ch)
		})
		if len(l.Channels) > 0 {
			visible = append(visible, l)
		}
	}
	writeJSON(w, visible)
}

// snapshotSymbolsMax bounds what one request for snapshots may ask.
const snapshotSymbolsMax = 1000

// serveSnapshot answers with the last event of each stream asked for, as the JSON of the
// stream protocol. A stream without an event is left out, and so is a symbol that is not
// known, or that the token does not allow; if it allows none the answer is 403, and if none of
// the rest is known, 404.
func (n *Node) serveSnapshot(w http.ResponseWriter, r *http.Request, may *rights) {
	symbols := splitList(r.URL.Query().Get("symbols"))
	if len(symbols) == 0 || len(symbols) > snapshotSymbolsMax {
		http.Error(w, "symbols: 1 to 1000 names, comma-separated", http.StatusBadRequest)
		return
	}
	channels := market.AllChannels()
	if names := splitList(r.URL.Query().Get("channels")); len(names) > 0 {
		channels = channels[:0]
		for _, name := range names {
			ch, ok := market.ParseChannel(name)
			if !ok {
				http.Error(w, "channels: "+name+" is none of trade, quote, bar", http.StatusBadRequest)
				return
			}
			channels = append(channels, ch)
		}
	}
	allowed := make([]market.Stream, 0, len(symbols)*len(channels))
	for _, symbol := range symbols {
		for _, ch := range channels {
			if may.allows(symbol, ch) {
				allowed = append(allowed, market.Stream{Channel: ch, Symbol: symbol})
			}
		}
	}
	if len(allowed) == 0 {
		http.Error(w, "the token allows none of this", http.StatusForbidden)
		return
	}
	in, err := n.ingestAt(may.delay())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if !in.anyKnown() {
		http.Error(w, "no symbol is known yet", http.StatusServiceUnavailable)
		return
	}
	var tapes []*tape
	for _, s := range allowed {
		if row, ok := in.lookup(s.Symbol); ok {
			tapes = append(tapes, row[s.Channel])
		}
	}
	if len(tapes) == 0 {
		http.Error(w, "unknown symbol "+allowed[0].Symbol, http.StatusNotFound)
		return
	}
	found, err := in.snapshot(r.Context(), tapes)
	if err != nil {
		http.Error(w, "last values cannot be read: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	var b codec.Batch
	b.Reset(codec.JSON, nil)
	for _, t := range tapes {
		if c := found[t]; c != nil {
			b.AddRecord(c.LastRecord())
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b.Bytes())
}

func splitList(s string) []string {
	var all []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v)
}
