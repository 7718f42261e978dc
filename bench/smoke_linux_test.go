package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tickcast/tickcast/bench/internal/host"
)

// bench runs this program, as a user does, and returns what it prints and its exit status.
func bench(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), said.String(), cmd.ProcessState.ExitCode()
}

// works runs this program and expects it to succeed.
func works(t *testing.T, args ...string) string {
	t.Helper()
	out, said, code := bench(t, args...)
	if code != 0 {
		t.Fatalf("bench %s: exit status %d\n%s%s", strings.Join(args, " "), code, out, said)
	}
	return out
}

// started runs a program until the test ends and returns what its ready line says.
func started(t *testing.T, program string, args ...string) map[string]string {
	t.Helper()
	p, err := host.Start(nil, program, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	pairs, err := p.Ready(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return pairs
}

// Every command does its work in real processes, if little of it: what is measured here
// means nothing.
func TestCommandsWork(t *testing.T) {
	dir := t.TempDir()
	streamer := filepath.Join(dir, "streamer")
	// With -race, since the tests have built most of it so.
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-race", "-o", streamer, "../cmd/streamer").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	in := func(name string) string { return filepath.Join(dir, name) }

	t.Run("all", func(t *testing.T) {
		t.Run("load, verify, floor", func(t *testing.T) {
			t.Parallel()
			nats := started(t, os.Args[0], "source", "--market", "20", "--rate", "500")["nats"]
			node := started(t, streamer, "--nats", nats, "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0")["addr"]
			url := "ws://" + node + "/v1/stream"
			l := &load{URL: url}
			await(t, "the node to hear of the market", func() bool {
				names, err := l.fetchSymbols(t.Context())
				return err == nil && len(names) == 20
			})
			out := works(t, "load", "--url", url, "--subscribers", "10", "--warmup", "0s", "--duration", "1s", "--json")
			var r loadResult
			if err := json.Unmarshal([]byte(out), &r); err != nil || r.Ready != 10 || len(r.Spread) == 0 {
				t.Errorf("%v: %s", err, out)
			}
			if err := os.WriteFile(in("load.json"), []byte(out), 0o644); err != nil {
				t.Fatal(err)
			}
			works(t, "verify", "--url", url, "--subscribers", "10", "--duration", "500ms", "--slow", "0", "--storm-every", "200ms", "--settle", patience.String())
			bare := started(t, os.Args[0], "floor", "--addr", "127.0.0.1:0", "--market", "20")["addr"]
			works(t, "load", "--url", "ws://"+bare, "--market", "20", "--subscribers", "10", "--warmup", "0s", "--duration", "300ms")
		})
		if len(host.Cores()) < 2 {
			t.Log("one core: nothing can be pinned, and the rest is left out")
			return
		}
		brief := []string{"--repeats", "1", "--tries", "1", "--warmup", "0s", "--duration", "500ms", "--streamer", streamer}
		t.Run("compare", func(t *testing.T) {
			t.Parallel()
			works(t, append([]string{"compare", "--servers", "floor,tickcast-epoll,gws", "--subscribers", "20", "--ticks", "5", "--frames", "1000", "--out", dir, "--name", "compare"}, brief...)...)
			if page, err := os.ReadFile(in("compare.md")); err != nil || !strings.Contains(string(page), "| tickcast-epoll |") {
				t.Errorf("%v\n%s", err, page)
			}
		})
		t.Run("peers", func(t *testing.T) {
			t.Parallel()
			works(t, append([]string{"peers", "--servers", "floor,coder,nats-server", "--subscribers", "20", "--ticks", "5", "--frames", "1000", "--out", dir, "--name", "peers"}, brief...)...)
		})
		t.Run("calibrate, plan", func(t *testing.T) {
			t.Parallel()
			file := in("coefficients.json")
			small := append([]string{"--frames", "3000", "--scale", "0.02"}, brief...)
			works(t, append([]string{"calibrate", "--out", file}, small...)...)
			works(t, append([]string{"plan", "--check", "--coefficients", file, "--tolerance", "1e9"}, small...)...)
			if out := works(t, "plan", "--coefficients", file, "--tls", "--connections", "1000000", "--target", "1", "--cores", "1000"); !strings.Contains(out, "nodes") {
				t.Error(out)
			}
		})
	})
	results, err := filepath.Glob(in("*.json"))
	if err != nil {
		t.Fatal(err)
	}
	works(t, append([]string{"report", "--out", in("page")}, results...)...)
	if page, err := os.ReadFile(filepath.Join(in("page"), "index.html")); err != nil || !bytes.Contains(page, []byte("<svg")) {
		t.Errorf("%v\n%s", err, page)
	}
}

var commands = []string{"load", "floor", "compare", "peers", "verify", "plan", "calibrate", "report", "prove"}

func TestHelpHelps(t *testing.T) {
	for _, name := range commands {
		if out := works(t, name, "--help"); !strings.Contains(out, "Usage: bench "+name) || !strings.Contains(out, "Flags:") {
			t.Errorf("%s --help prints %s", name, out)
		}
	}
	all := works(t, "--help")
	for _, name := range commands {
		if !strings.Contains(all, name) {
			t.Errorf("%s is not in %s", name, all)
		}
	}
}

// A wrong option ends the program with status 2 and one line that names it.
func TestWrongOptionsEndTheProgram(t *testing.T) {
	for _, tt := range []struct{ args, names string }{
		{"load --subscribers 0 --symbols 0", "--subscribers 0 --symbols"},
		{"load --url http://127.0.0.1:1", "--url ws://"},
		{"load --channels tea", "--channels tea"},
		{"load --channels=", "--channels"},
		{"load --policy mercy", "--policy mercy drop_oldest"},
		{"load --interval 61s", "--interval 1m1s 1m0s"},
		{"load --pick watchlists --watchlists 0", "--watchlists 0"},
		{"load --slow 1.5", "--slow 1.5"},
		{"load --slow NaN", "--slow NaN"},
		{"load --slow 1 --slow-kind=", "--slow-kind"},
		{"load --slow-kind sleepy", "--slow-kind sleepy stalled"},
		{"load --warmup=-1s --storm-every=-1s --nap=-1s --pid=-1", "--warmup --storm-every --nap --pid"},
		{"load --processes 2 --subscribers 1", "--processes 2 --subscribers 1"},
		{"floor --rate 0", "--rate"},
		{"floor --loops=-1", "--loops"},
		{"compare --servers apache --ticks 0", "--servers apache --ticks"},
		{"compare --server-core 4096", "--server-core 4096"},
		{"compare --streamer /no/such", "--streamer /no/such"},
		{"peers --duration -1s", "--duration"},
		{"peers --warmup=-1s", "--warmup"},
		{"verify --storm-every=-1s --settle=-1s", "--storm-every --settle"},
		{"verify --slow 2", "--slow 2"},
		{"plan --target 7", "--target"},
		{"calibrate --repeats 0", "--repeats"},
		{"calibrate --server-core 4096", "--server-core 4096"},
		{"prove everything", "everything memory"},
		{"prove --server-core=-1", "--server-core -1"},
		{"report there-is-no-such-file", "there-is-no-such-file"},
		{"rival apache", "apache"},
		{"load --no-such-option", "--no-such-option"},
		{"no-such-command", "no-such-command"},
	} {
		out, said, code := bench(t, strings.Fields(tt.args)...)
		if code != 2 || out != "" || strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "bench: ") {
			t.Errorf("bench %s: exit status %d, want 2\n%s%s", tt.args, code, out, said)
		}
		for _, word := range strings.Fields(tt.names) {
			if !strings.Contains(said, word) {
				t.Errorf("bench %s: want %q in %q", tt.args, word, said)
			}
		}
	}
}
