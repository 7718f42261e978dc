//go:build proxy

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The proxies run by the very files that operators are given, in which only addresses are
// other ones: see rewrite.
const (
	haproxyConfig = "../deployments/compose/haproxy.cfg"
	nginxConfig   = "../deployments/nginx/tickcast.conf"
)

// port returns a free port out of those that no system gives to outgoing connections: a
// server that ends finds it free again.
func port(t *testing.T) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprint("127.0.0.1:", 20_000+rand.IntN(12_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// rewrite reads a configuration and replaces pairs in it, each of which must be there.
func rewrite(t *testing.T, file string, pairs ...string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(string(text), pairs[i]) {
			t.Fatalf("%s has no %q", file, pairs[i])
		}
	}
	return strings.NewReplacer(pairs...).Replace(string(text))
}

func write(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// system starts a program of the system's, which `make proxies` installs.
func system(t *testing.T, name string, args ...string) *process {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = filepath.Join("/usr/sbin", name) // not everybody's PATH has it
	}
	return launch(t, path, args...)
}

// startHAProxy stands in front of the nodes and returns where it listens.
func startHAProxy(t *testing.T, nodes []*streamer) (addr string) {
	t.Helper()
	addr = port(t)
	pairs := []string{
		"bind :8080", "bind " + addr,
		" resolvers engine init-addr last,libc,none", "", // the engine's names, which are no names here
		"\nresolvers engine\n  parse-resolv-conf\n  hold valid 1s\n", "",
		"maxconn 50000", "maxconn 1000",
	}
	for i, n := range nodes {
		_, admin, _ := net.SplitHostPort(n.admin)
		pairs = append(pairs, fmt.Sprintf("node-%d:8080", i+1), n.addr+" port "+admin)
	}
	config := write(t, filepath.Join(t.TempDir(), "haproxy.cfg"), rewrite(t, haproxyConfig, pairs...))
	awaitProxy(system(t, "haproxy", "-db", "-f", config), addr)
	return addr
}

// startNginx does the same.
func startNginx(t *testing.T, nodes []*streamer) (addr string) {
	t.Helper()
	addr = port(t)
	pairs := []string{"listen 8080", "listen " + addr}
	for i, n := range nodes {
		pairs = append(pairs, fmt.Sprintf("node-%d:8080", i+1), n.addr)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "tickcast.conf"), rewrite(t, nginxConfig, pairs...))
	main := "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		main += fmt.Sprintf("%s_temp_path %s/%s;\n", kind, dir, kind) // the built-in ones may be root's
	}
	config := write(t, filepath.Join(dir, "nginx.conf"), main+"include tickcast.conf;\n}\n")
	awaitProxy(system(t, "nginx", "-e", "stderr", "-p", dir, "-c", config), addr)
	return addr
}

// awaitProxy waits until the proxy has found a node.
func awaitProxy(p *process, addr string) {
	p.t.Helper()
	await(p.t, p.name+" to find a node", func() bool {
		select {
		case <-p.exited:
			p.t.Fatalf("%s ended", p.name)
		default:
		}
		resp, err := web.Get("http://" + addr + "/v1/symbols")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}
