package check

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The programs, started as the chart starts them, send their traces to a collector that wants
// TLS and a header.
func TestTracesReachTheirCollector(t *testing.T) {
	var mu sync.Mutex
	taken := make(map[string]bool)
	came := make(chan struct{})
	both := sync.OnceFunc(func() { close(came) })
	collector := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/v1/traces" || r.Header.Get("X-Tenant") != "md" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, service := range []string{"tickcast-feed", "tickcast-streamer"} {
			if bytes.Contains(body, []byte(service)) && bytes.Contains(body, []byte("pod of "+service)) && bytes.Contains(body, []byte("market-data")) {
				taken[service] = true
			}
		}
		if len(taken) == 2 {
			both()
		}
	}))
	defer collector.Close()
	manifest, err := render(fmt.Sprintf("traces: {every: 1, endpoint: %q, headersSecret: {name: otlp}, caSecret: {name: otlp-ca}}", collector.URL))
	if err != nil {
		t.Fatal(err)
	}
	dir, natsAddr := t.TempDir(), freeAddr(t)
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: collector.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), root, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(program, nats string, args ...string) *process {
		r, _ := runOf(t, manifest, program)
		for _, arg := range r.args {
			if strings.HasPrefix(arg, "--trace-every=") {
				args = append(args, arg)
			}
		}
		env := []string{"TICKCAST_NATS=" + nats, "OTEL_BSP_SCHEDULE_DELAY=200"}
		for _, e := range r.env {
			if e.Name == "OTEL_EXPORTER_OTLP_HEADERS" {
				e.Value = "x-tenant=md"
			}
			if strings.HasPrefix(e.Name, "OTEL_") {
				e.Value = strings.NewReplacer("$(K8S_POD_NAME)", "pod of tickcast-"+program, "/etc/tickcast-traces-ca", dir).Replace(e.Value)
				env = append(env, e.Name+"="+e.Value)
			}
		}
		return begin(t, buildProgram(t, "cmd/"+program), env, append(args, "--admin-addr=127.0.0.1:0", "--log-level=error")...)
	}
	node := run("streamer", "embedded", "--nats-listen="+natsAddr, "--addr=127.0.0.1:0", "--drain=0s")
	run("feed", "nats://"+natsAddr)
	load(t, node.ready["addr"], "--subscribers=1", "--symbols=100")
	select {
	case <-came:
	case <-time.After(3 * time.Minute):
		mu.Lock()
		defer mu.Unlock()
		t.Fatalf("traces came of %v alone", taken)
	}
}
