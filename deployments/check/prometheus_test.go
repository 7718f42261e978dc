package check

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// restful are the panels that are empty while nothing is wrong.
var restful = []string{"Coming and going", "Connections that end"}

// A real Prometheus that scrapes real programs has something to draw for every panel.
func TestDashboardsDrawWhatAPrometheusScrapes(t *testing.T) {
	natsAddr := freeAddr(t)
	node := start(t, buildProgram(t, "streamer"), nil, "--nats=embedded", "--nats-listen="+natsAddr, "--addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--log-level=warn")
	feed := start(t, buildProgram(t, "feed"), nil, "--nats=nats://"+natsAddr, "--admin-addr=127.0.0.1:0", "--log-level=warn")
	api := startPrometheus(t, node["admin_addr"], feed["admin_addr"])

	var empty []string
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Second) { // between two looks
		empty = empty[:0]
		for _, p := range panels(t) {
			for _, expr := range p.exprs {
				if n, err := api(strings.NewReplacer("$__rate_interval", "5s", "$namespace", ".*", "$instance", ".*").Replace(expr)); err != nil {
					t.Fatalf("%s: %v", expr, err)
				} else if n == 0 && !slices.Contains(restful, p.title) {
					empty = append(empty, p.title+": "+expr)
				}
			}
		}
		if len(empty) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing to draw for\n%s", strings.Join(empty, "\n"))
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// startPrometheus scrapes the targets every second; what it returns counts the series that
// a query has now.
func startPrometheus(t *testing.T, targets ...string) (api func(expr string) (int, error)) {
	t.Helper()
	dir, addr := t.TempDir(), freeAddr(t)
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: tickcast, static_configs: [{targets: [%s]}]}]\n", strings.Join(targets, ", "))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--log.level=error")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	query := func(expr string) (int, error) {
		answer, err := http.Get("http://" + addr + "/api/v1/query?query=" + url.QueryEscape(expr))
		if err != nil {
			return 0, err
		}
		defer func() { _ = answer.Body.Close() }()
		var body struct {
			Error string
			Data  struct{ Result []json.RawMessage }
		}
		if err := json.NewDecoder(answer.Body).Decode(&body); err != nil || body.Error != "" {
			return 0, fmt.Errorf("%s: %s %w", answer.Status, body.Error, err)
		}
		return len(body.Data.Result), nil
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) { // between two looks
		if n, err := query("up == 1"); err == nil && n == len(targets) {
			return query
		}
		if time.Now().After(deadline) {
			t.Fatal("Prometheus does not see the programs")
		}
	}
}
