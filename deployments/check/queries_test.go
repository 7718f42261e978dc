package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

const (
	alertsFile   = chartDir + "/files/alerts.yaml"
	dashboardDir = chartDir + "/files/dashboards"
)

// metricRow is a line of the tables of metrics in docs/operations.md, which a test beside
// each program holds to what the program has.
var metricRow = regexp.MustCompile("(?m)^\\| `(tickcast_[a-z_]+)` \\| (gauge|counter|histogram) \\|")

// series returns the names that a query may ask for, with their kinds.
func series(t *testing.T) map[string]string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{ // of Go's and the process's own collectors, what is drawn
		"process_cpu_seconds_total": "counter", "process_resident_memory_bytes": "gauge",
		"process_open_fds": "gauge", "go_memstats_heap_inuse_bytes": "gauge",
	}
	for _, row := range metricRow.FindAllStringSubmatch(string(doc), -1) {
		name, kind := row[1], row[2]
		if kind != "histogram" {
			names[name] = kind
			continue
		}
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			names[name+part] = "counter"
		}
	}
	if len(names) < 30 {
		t.Fatalf("only %d metrics found in the tables", len(names))
	}
	return names
}

// checkQuery reports what is wrong with a query: it must parse, ask for metrics that there
// are, and use counters as counters.
func checkQuery(expr string, names map[string]string) error {
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return err
	}
	var wrong error
	parser.Inspect(parsed, func(n parser.Node, path []parser.Node) error {
		sel, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		name := sel.Name
		for _, m := range sel.LabelMatchers {
			if m.Name == model.MetricNameLabel {
				name = m.Value
			}
		}
		kind, there := names[name]
		ranged := false
		if len(path) > 0 {
			_, ranged = path[len(path)-1].(*parser.MatrixSelector)
		}
		switch {
		case !there:
			wrong = fmt.Errorf("there is no metric %s", name)
		case kind == "counter" && !ranged:
			wrong = fmt.Errorf("%s only ever grows: ask for its rate or increase", name)
		case kind == "gauge" && ranged:
			wrong = fmt.Errorf("%s is a gauge, and has no rate", name)
		}
		return nil
	})
	return wrong
}

func TestQueriesAreChecked(t *testing.T) {
	names := series(t)
	for _, tt := range []struct{ expr, want string }{
		{"sum(tickcast_connections)", ""},
		{`rate(tickcast_batch_events_bucket{instance=~"a"}[1m])`, ""},
		{"sum(tickcast_conections)", "no metric tickcast_conections"},
		{"tickcast_batch_events", "no metric tickcast_batch_events"},
		{"tickcast_events_sent_total > 5", "only ever grows"},
		{"rate(tickcast_connections[1m])", "is a gauge"},
		{"sum(tickcast_connections", "unclosed"},
	} {
		err := checkQuery(tt.expr, names)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.expr, err, tt.want)
		}
	}
}

func TestAlertsAskForWhatThereIs(t *testing.T) {
	text, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	runbook, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("testdata/alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var groups rulefmt.RuleGroups
	if err := yaml.Unmarshal(text, &groups); err != nil {
		t.Fatal(err)
	}
	names := series(t)
	for _, r := range groups.Groups[0].Rules {
		if err := checkQuery(r.Expr, names); err != nil {
			t.Errorf("%s: %v", r.Alert, err)
		}
		if !strings.Contains(string(runbook), "\n## "+r.Alert+"\n") || !strings.HasSuffix(r.Annotations["runbook_url"], "docs/runbook.md#"+strings.ToLower(r.Alert)) {
			t.Errorf("%s has no part of the runbook", r.Alert)
		}
		if !strings.Contains(string(tests), "alertname: "+r.Alert+"\n") {
			t.Errorf("%s has no test", r.Alert)
		}
	}
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "--lint-fatal", alertsFile}, {"test", "rules", "testdata/alerts_test.yaml"}} {
		if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// A panel is what a dashboard draws, or a variable's choices.
type panel struct {
	board, title string
	exprs        []string
}

// panels reads every panel and variable of the dashboards.
func panels(t *testing.T) (all []panel) {
	t.Helper()
	files, _ := filepath.Glob(dashboardDir + "/*.json")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			Templating struct {
				List []struct{ Name, Type, Definition string }
			}
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatal(err)
		}
		for _, p := range board.Panels {
			one := panel{board: filepath.Base(file), title: p.Title}
			for _, target := range p.Targets {
				one.exprs = append(one.exprs, target.Expr)
			}
			all = append(all, one)
		}
		for _, v := range board.Templating.List {
			if v.Type == "query" {
				inner := strings.TrimPrefix(v.Definition, "label_values(")
				all = append(all, panel{filepath.Base(file), "variable " + v.Name, []string{inner[:strings.LastIndex(inner, ",")]}})
			}
		}
	}
	if len(all) < 30 {
		t.Fatalf("only %d panels found in %v", len(all), files)
	}
	return all
}

func TestDashboardsAskForWhatThereIs(t *testing.T) {
	names := series(t)
	for _, p := range panels(t) {
		for _, expr := range p.exprs {
			if err := checkQuery(strings.ReplaceAll(expr, "$__rate_interval", "1m"), names); err != nil {
				t.Errorf("%s, %s: %v", p.board, p.title, err)
			}
		}
	}
}

func TestDashboardsAreMadeByTheirProgram(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("go", "run", "./dashboards", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	made, _ := filepath.Glob(dir + "/*.json")
	kept, _ := filepath.Glob(dashboardDir + "/*.json")
	if len(made) == 0 || len(made) != len(kept) {
		t.Fatalf("%d made, %d kept", len(made), len(kept))
	}
	for _, file := range made {
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dashboardDir, filepath.Base(file))); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is old: make dashboards", filepath.Base(file))
		}
	}
}
