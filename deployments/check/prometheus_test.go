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
	"strings"
	"syscall"
	"testing"
	"time"
)

// Real programs under load give every panel something to draw.
func TestDashboardsDrawWhatAPrometheusScrapes(t *testing.T) {
	natsAddr := freeAddr(t)
	node := start(t, buildProgram(t, "cmd/streamer"), nil, "--nats=embedded", "--nats-listen="+natsAddr, "--addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--log-level=warn")
	feed := start(t, buildProgram(t, "cmd/feed"), nil, "--nats=nats://"+natsAddr, "--admin-addr=127.0.0.1:0", "--log-level=warn")
	load(t, node["addr"], "--subscribers=100", "--storm-every=2s")
	p := startPrometheus(t, "", node["admin_addr"], feed["admin_addr"])

	p.await("something to draw for every panel", func() (missing []string, err error) {
		refused, err := http.Get("http://" + node["addr"] + "/v1/stream")
		if err != nil {
			return nil, err
		}
		_ = refused.Body.Close()
		for _, panel := range panels(t) {
			for _, expr := range panel.exprs {
				n, err := p.count(strings.NewReplacer("$__rate_interval", "10s", "$namespace", ".*", "$instance", ".*").Replace(expr))
				if err != nil {
					return nil, fmt.Errorf("%s: %w", expr, err)
				}
				if n == 0 {
					missing = append(missing, panel.board+", "+panel.title+": "+expr)
				}
			}
		}
		return missing, nil
	})
}

// load runs subscribers against a node until the test ends.
func load(t *testing.T, addr string, args ...string) {
	t.Helper()
	cmd := exec.Command(buildProgram(t, "bench"), append([]string{"load", "--url=ws://" + addr + "/v1/stream", "--duration=1h"}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // it did not count for an hour
	})
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

type prometheus struct {
	t    *testing.T
	addr string
}

// startPrometheus scrapes the targets and evaluates the rules, a file's text, every second.
func startPrometheus(t *testing.T, rules string, targets ...string) *prometheus {
	t.Helper()
	p, dir := &prometheus{t, freeAddr(t)}, t.TempDir()
	for name, text := range map[string]string{
		"rules.yml": rules,
		"prometheus.yml": fmt.Sprintf(`{global: {scrape_interval: 1s, evaluation_interval: 1s}, rule_files: [rules.yml],
			scrape_configs: [{job_name: tickcast, static_configs: [{targets: [%s]}]}]}`, strings.Join(targets, ", ")),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+p.addr, "--log.level=error")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	p.await("Prometheus to see the programs", func() ([]string, error) {
		n, err := p.count("up == 1")
		if err == nil && n == len(targets) {
			return nil, nil
		}
		return []string{fmt.Sprint(n, " targets, ", err)}, nil
	})
	return p
}

// await looks again and again until nothing is missing.
func (p *prometheus) await(what string, look func() (missing []string, err error)) {
	p.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(500 * time.Millisecond) { // between two looks
		missing, err := look()
		if err == nil && len(missing) == 0 {
			return
		}
		if err != nil || time.Now().After(deadline) {
			p.t.Fatalf("waited for %s: %v, missing\n%s", what, err, strings.Join(missing, "\n"))
		}
	}
}

// get reads what the API has under a path.
func (p *prometheus) get(path string, data any) error {
	answer, err := http.Get("http://" + p.addr + "/api/v1/" + path)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	body := struct {
		Error string
		Data  any
	}{Data: data}
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil || body.Error != "" {
		return fmt.Errorf("%s: %s %w", answer.Status, body.Error, err)
	}
	return nil
}

// count returns how many series a query has now.
func (p *prometheus) count(expr string) (int, error) {
	var data struct{ Result []json.RawMessage }
	err := p.get("query?query="+url.QueryEscape(expr), &data)
	return len(data.Result), err
}

// firing returns the alerts that fire now: their names, and with them where they fire for one
// instance.
func (p *prometheus) firing() (names []string, err error) {
	var data struct {
		Alerts []struct {
			State  string
			Labels map[string]string
		}
	}
	err = p.get("alerts", &data)
	for _, a := range data.Alerts {
		if a.State == "firing" {
			names = append(names, a.Labels["alertname"], a.Labels["alertname"]+" of "+a.Labels["instance"])
		}
	}
	return names, err
}
