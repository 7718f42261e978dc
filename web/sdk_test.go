//go:build browser

package web_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strings"
	"testing"
)

const sdk = "../clients/typescript/"

// A page of three lines that uses the TypeScript client by itself, as it is built and unbundled,
// with its connection in a worker.
var sdkPage = map[string]string{
	"/": `<!doctype html><title>sdk</title><p id="rows"></p><script type="module" src="/page.js"></script>`,
	"/decode.js": `import { serveWorker } from "/tickcast/worker.js";
		serveWorker({ backlogMax: 10 });`,
	"/page.js": `import { connect } from "/tickcast/index.js";
		window.events = [];
		window.client = connect(new URLSearchParams(location.search).get("node"),
			{ worker: () => new Worker("/decode.js", { type: "module" }) });
		window.sub = client.subscribe({ channels: ["trade"], symbols: ["` + busiest + `"] }, (e) => events.push(e));`,
}

// serveSDK is a page's own server, which is another than the node.
func serveSDK(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, known := []byte(sdkPage[r.URL.Path]), sdkPage[r.URL.Path] != ""
		for prefix, dir := range map[string]string{"/tickcast/": sdk + "dist/", "/msgpack/": sdk + "node_modules/@msgpack/msgpack/dist.esm/"} {
			if name, ok := strings.CutPrefix(path.Clean(r.URL.Path), prefix); ok {
				var err error
				if text, err = os.ReadFile(dir + name); err != nil {
					t.Errorf("run `make client`: %v", err)
				}
				known = true
			}
		}
		if !known {
			http.NotFound(w, r)
			return
		}
		if r.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/html")
		} else {
			w.Header().Set("Content-Type", "text/javascript")
		}
		// No page's own names reach into its workers.
		_, _ = w.Write(bytes.ReplaceAll(text, []byte(`"@msgpack/msgpack"`), []byte(`"/msgpack/index.mjs"`)))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestTheClientInAWorkerOfABrowser(t *testing.T) {
	t.Parallel()
	page := serveSDK(t)
	node := startNode(t, buildStreamer(t), "127.0.0.1:0", append(patient[:len(patient):len(patient)], "--allowed-origins", page)...)
	relay := startRelay(t, node.addr)
	tab := openTab(t)
	tab.visit(fmt.Sprintf("%s/?node=ws://%s/v1/stream", page, relay.addr))
	trades := func() int { return eval[int](t, tab, `events.filter(({ kind }) => kind === "trade").length`) }
	runSteps(t, tab, []step{
		{"reads in the worker", func(t *testing.T) {
			eventually(t, "trades", func() bool { return trades() > 20 })
		}},
		{"keeps what a busy page has no time for, and tells of the rest", func(t *testing.T) {
			eventually(t, "a gap of the backlog", func() bool {
				return eval[bool](t, tab, `(() => {
					for (const end = performance.now() + 2000; performance.now() < end; );
					return events.some(({ kind, reason }) => kind === "gap" && reason === "backlog");
				})()`)
			})
		}},
		{"goes on where the link was cut", func(t *testing.T) {
			relay.close()
			eventually(t, "the cut", func() bool { return eval[string](t, tab, `client.state.kind`) != "live" })
			relay.open(t)
			before := trades()
			eventually(t, "trades after it", func() bool { return trades() > before+20 })
		}},
		{"accounts for every number, once", func(t *testing.T) {
			wrong := eval[[]string](t, tab, `(() => {
				const wrong = [];
				let last;
				for (const e of events) {
					const [from, to] = e.kind === "snapshot" ? [last === undefined ? e.last?.seq : NaN, e.last?.seq]
						: e.kind === "gap" ? [e.from, e.to] : [e.seq, e.seq];
					if (last !== undefined && from !== last + 1 || (e.kind === "gap" && e.reason !== "backlog"))
						wrong.push(last + " is followed by " + JSON.stringify(e, (_, v) => typeof v === "bigint" ? String(v) : v));
					last = to;
				}
				return wrong;
			})()`)
			for _, w := range wrong {
				t.Error(w)
			}
		}},
		{"ends with its client", func(t *testing.T) {
			eval[bool](t, tab, `client.close(); true`)
			if got := eval[[]string](t, tab, `[client.state.kind, String(sub.closed), ...faults]`); fmt.Sprint(got) != "[closed true]" {
				t.Errorf("got %q", got)
			}
		}},
	})
}
