package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// Connections are not kept, or each would leave two goroutines behind.
var web = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}

func get(t *testing.T, addr, path string) (status int, body string) {
	t.Helper()
	began := time.Now()
	resp, err := web.Get("http://" + addr + path)
	if err != nil && strings.Contains(err.Error(), "server closed idle connection") && time.Since(began) > time.Second {
		resp, err = web.Get("http://" + addr + path) // this process stood still before it had asked, and the node gave it up
	}
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// metric returns the sum of a metric over its labels, and fails where there is none.
func metric(t *testing.T, admin, name string) float64 {
	t.Helper()
	_, body := get(t, admin, "/metrics")
	sum, found := 0.0, false
	for line := range strings.Lines(body) {
		of, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if of, _, _ = strings.Cut(of, "{"); of != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		t.Fatalf("no metric %s in:\n%s", name, body)
	}
	return sum
}

// A site whose name leads to loopback must not read the admin address in an operator's browser.
// Beyond loopback, where names lead to it, operators ask by these.
func TestAdminOnLoopbackAnswersToNoSitesName(t *testing.T) {
	for bound, want := range map[string]int{"127.0.0.1:0": http.StatusMisdirectedRequest, "0.0.0.0:0": http.StatusOK} {
		node := serveStreamer(t, "--demo", "--admin-addr", bound)
		for _, path := range []string{"/metrics", "/v1/sessions", "/healthz"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+node.admin+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = "rebound.example"
			resp, err := web.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("--admin-addr %s, %s: %d, want %d", bound, path, resp.StatusCode, want)
			}
		}
		node.stop()
	}
}

// symbols returns the names that the node lists now.
func (n *streamer) symbols() []string {
	n.t.Helper()
	_, body := get(n.t, n.addr, "/v1/symbols")
	var rows []struct{ Symbol string }
	if err := json.Unmarshal([]byte(body), &rows); err != nil {
		n.t.Fatalf("%v in %s", err, body)
	}
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.Symbol
	}
	return names
}

// awaitSymbols waits until the node lists so many.
func (n *streamer) awaitSymbols(count int) {
	n.t.Helper()
	await(n.t, strconv.Itoa(count)+" symbols", func() bool { return len(n.symbols()) == count })
}

// snapshot returns the last event of every stream of the symbols, as /v1/snapshot has it.
func (n *streamer) snapshot(symbols []string) map[market.Stream]codec.Event {
	n.t.Helper()
	last := make(map[market.Stream]codec.Event)
	for some := range slices.Chunk(symbols, 500) {
		status, body := get(n.t, n.addr, "/v1/snapshot?symbols="+url.QueryEscape(strings.Join(some, ",")))
		if status != http.StatusOK {
			n.t.Fatalf("snapshot: %d %s", status, body)
		}
		events, err := codec.DecodeBatch(codec.JSON, []byte(body))
		if err != nil {
			n.t.Fatal(err)
		}
		for _, ev := range events {
			stream, _ := streamOf(ev)
			last[stream] = ev
		}
	}
	return last
}

func (n *streamer) readyz() int {
	n.t.Helper()
	status, _ := get(n.t, n.admin, "/readyz")
	return status
}
