package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tickcast/tickcast/bench/internal/contest"
	"github.com/tickcast/tickcast/bench/internal/host"
	"github.com/tickcast/tickcast/bench/internal/plan"
)

// made up: servers that differ by a factor, and cost more the more is asked of them.
func exampleContest() contest.Result {
	servers := []string{"floor", "tickcast-epoll", "tickcast-goroutine", "gws", "gws-broadcast", "gobwas", "coder", "nats-server"}
	var all []contest.Rows
	for _, subscribers := range []int{1000, 5000} {
		for _, each := range []int{10, 50} {
			for _, ticks := range []int{1, 5, 50, 250} {
				for k, server := range servers {
					r := contest.Rows{Cell: contest.Cell{Subscribers: subscribers, Ticks: ticks, FramesPerSecond: 50_000, PerMember: each}, Server: server}
					for repeat := range 3 {
						us := (4 + 0.009*float64(ticks)) * (1 + 0.2*float64(k)) * (1 + 0.03*float64(repeat)) * (1 + float64(subscribers)/50_000)
						run := contest.Run{Messages: 150_000, Ticks: 150_000 * int64(ticks), Seconds: 3, ServerCPU: us * 0.15, RSSPerConn: 2000 + 9000*float64(k%4)}
						for i, p := range []float64{0, 50, 90, 99, 99.9, 99.99, 100} {
							run.Latency = append(run.Latency, [2]float64{p, 2000 * float64(1+i+k)})
						}
						r.Runs = append(r.Runs, run)
					}
					all = append(all, r)
				}
			}
		}
	}
	r := contest.Result{Kind: "compare", Stamp: stamp(1), Repeats: 3, Servers: map[string]string{}, Rows: contest.Summarize(all)}
	for _, name := range servers {
		r.Servers[name] = "what " + name + " does"
	}
	return r
}

func stamp(day int) host.Stamp {
	return host.Stamp{Time: time.Date(2026, 1, day, 12, 0, 0, 0, time.UTC), CPU: "a <fast> core", Cores: 2, Kernel: "6", Go: "go1", Commit: "abc", Command: "go run ./bench compare"}
}

func examplePlan() plan.File {
	pair := func(a, b float64) plan.Pair { return plan.Pair{Forecast: a, Measured: b} }
	return plan.File{Stamp: stamp(2), Coefficients: plan.Coefficients{FrameUS: 4, FitPercent: 3}, Check: &plan.Check{Stamp: stamp(3), Rows: []plan.CheckRow{
		{Cell: contest.Cell{Subscribers: 1500, Ticks: 3, FramesPerSecond: 20_000}, Cores: pair(0.11, 0.1), Messages: pair(1000, 1010), Payload: pair(1e6, 1e6), Memory: pair(3e7, 4e7)},
		{Cell: contest.Cell{Subscribers: 3000, Ticks: 30, FramesPerSecond: 20_000, TLS: true}, Cores: pair(0.18, 0.2), Messages: pair(1000, 1010), Payload: pair(1e6, 1e6), Memory: pair(3e7, 4e7)},
	}}}
}

const exampleLoad = `{"stamp":{"time":"2026-01-04T00:00:00Z","command":"go run ./bench load --json"},"subscribers":%d,"seconds":10,"events":1000000,"messages":50000,
 "wire_bytes":70000000,"latency_us":{"p50":700,"p99":3000,"p99.9":9000,"max":20000},"latency_distribution_us":[[0,100],[50,700],[90,1500],[99,3000],[99.9,9000],[100,20000]],
 "server":{"cpu_seconds":0.3,"rss_bytes_per_connection":2000}}`

const exampleProof = `{"stamp":{"time":"2026-01-05T00:00:00Z","command":"go run ./bench prove"},"repeats":5,"figures":[
 {"part":"memory","what":"heap of an idle connection","unit":"bytes","median":512.25,"min":500,"max":520,"at_most":600}]}`

// write keeps one result of each kind in a folder as the repository does.
func write(t *testing.T, root string) (names []string) {
	t.Helper()
	dir := filepath.Join(root, "bench", "results")
	c, p := exampleContest(), examplePlan()
	keep := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(root, "docs"), 0o755), c.Write(dir, "contest"), p.Write(filepath.Join(dir, "coefficients.json"))); err != nil {
		t.Fatal(err)
	}
	keep(filepath.Join(dir, "small.json"), strings.ReplaceAll(exampleLoad, "%d", "1000"))
	keep(filepath.Join(dir, "large.json"), strings.ReplaceAll(exampleLoad, "%d", "9000"))
	keep(filepath.Join(dir, "proof.json"), exampleProof)
	keep(filepath.Join(root, "README.md"), "before\n"+begin+"old\n"+end+"after\n")
	keep(filepath.Join(root, "docs", "scaling.md"), begin+end)
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// The page has every plot in it, each is a file as well, all of it is well formed, and
// nothing is loaded from elsewhere.
func TestPage(t *testing.T) {
	r, err := Read(write(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	plots, err := r.Page(&page)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, p := range plots {
		seen[p.File] = true
		if !bytes.Contains(page.Bytes(), p.SVG) {
			t.Errorf("%s is not in the page", p.File)
		}
		for dec := xml.NewDecoder(bytes.NewReader(p.SVG)); ; {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%s: %v", p.File, err)
				break
			}
		}
		if bytes.Contains(p.SVG, []byte("NaN")) || bytes.Contains(p.SVG, []byte("Inf")) {
			t.Errorf("%s has coordinates that are no numbers", p.File)
		}
	}
	for _, want := range []string{
		"contest-cpu-1000-10-100", "contest-cpu-5000-50-100", "contest-to-floor", "contest-throughput", "contest-latency", "contest-memory",
		"contest-growth-connections", "contest-growth-symbols", "loads-load-latency", "loads-load-growth", "coefficients-plan-coefficients",
	} {
		if !seen[want+".svg"] {
			t.Errorf("no plot %s among %v", want, seen)
		}
	}
	for _, outside := range []string{"src=", "href=\"http", "@import", "url("} {
		if strings.Contains(page.String(), outside) {
			t.Errorf("the page has %q in it", outside)
		}
	}
}

// Pages get their tables between the two comments, and keep what is around them.
func TestDocs(t *testing.T) {
	root := t.TempDir()
	write(t, root)
	pages, err := Docs(root)
	if err != nil {
		t.Fatal(err)
	}
	readme := pages[filepath.Join(root, "README.md")]
	if !strings.HasPrefix(readme, "before\n"+begin+"| subscribers |") || !strings.HasSuffix(readme, end+"after\n") || strings.Contains(readme, "old") {
		t.Error(readme)
	}
	for _, want := range []string{"a <fast> core", "commit abc", "`go run ./bench compare`", "| 1000 | 10 of 100 | 50 |", "| memory | heap of an idle connection | 512.2 | 500 to 520 | 600 | bytes |"} {
		if !strings.Contains(readme, want) {
			t.Errorf("README.md does not say %q:\n%s", want, readme)
		}
	}
	if scaling := pages[filepath.Join(root, "docs", "scaling.md")]; !strings.Contains(scaling, "| 1500 of 10 symbols of 100, 400 events/s, 75ms |  | 0.110, was 0.100: +10 % |") {
		t.Error(scaling)
	}
	if page := pages[filepath.Join(root, "bench", "results", "contest.md")]; !strings.Contains(page, "- gws: what gws does") {
		t.Error(page)
	}
	if err := os.WriteFile(filepath.Join(root, "README.md"), []byte("no table"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Docs(root); !errors.Is(err, ErrMarks) {
		t.Errorf("a README without a place for the table: %v", err)
	}
}

func TestFilesThatAreNoResults(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.json")
	for _, text := range []string{"{}", "{", `{"a":1}`} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Read([]string{name}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want it to name the file", text, err)
		}
	}
	var r Results
	if plots, err := r.Page(io.Discard); err != nil || len(plots) != 0 {
		t.Errorf("a page of nothing: %d plots, %v", len(plots), err)
	}
}

// What the repository shows is what its results say.
func TestPagesAreUpToDate(t *testing.T) {
	pages, err := Docs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range pages {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s is not as bench/results has it: run `go run ./bench report`", name)
		}
	}
}
