// Package house holds the project to what its documents say: the tables of options, metrics
// and imports, the examples, the links. Its functions are for tests.
package house

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"
)

// Root returns the folder that go.mod is in.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
}

// Read returns the text of a file, which is named as seen from Root.
func Read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Table returns the first table under a heading of a document, by the first cell of each
// row. Cells lose their backquotes.
func Table(t testing.TB, doc, heading string) map[string][]string {
	t.Helper()
	_, text, ok := strings.Cut(Read(t, doc), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", doc, heading)
	}
	rows := make(map[string][]string)
	lines := 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			if lines > 0 || strings.HasPrefix(line, "#") {
				break
			}
			continue
		}
		if lines++; lines <= 2 {
			continue // the head and the rule under it
		}
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.ReplaceAll(strings.TrimSpace(cell), "`", ""))
		}
		rows[cells[0]] = cells
	}
	if len(rows) == 0 {
		t.Fatalf("%s has no table under %q", doc, heading)
	}
	return rows
}

const operations = "docs/operations.md"

// CheckOptions holds a program's options, a struct with kong's tags, to the table under a
// heading of the operations page: each has a row with its default and its help text.
func CheckOptions(t *testing.T, opts any, heading string) {
	t.Helper()
	k, err := kong.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string][]string)
	for _, f := range k.Model.Flags {
		name, def := "--"+f.Name, f.Default
		switch {
		case f.Name == "help":
			continue
		case f.Tag.Negatable != "":
			name, def = "--[no-]"+f.Name, "on"
		case f.IsBool():
			def = "off"
		case def == "":
			def = "none"
		}
		want[name] = []string{name, def, f.Help}
	}
	compare(t, want, Table(t, operations, heading))
}

// CheckMetrics holds the metrics of tickcast that g gathers to the table under a heading.
func CheckMetrics(t *testing.T, g prometheus.Gatherer, heading string) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string][]string)
	for _, f := range families {
		name := f.GetName()
		if strings.HasPrefix(name, "tickcast_") {
			want[name] = []string{name, strings.ToLower(f.GetType().String()), f.GetHelp()}
		}
	}
	compare(t, want, Table(t, operations, heading))
}

// compare reports each row that is missing, different or of nothing that there is.
func compare(t *testing.T, want, got map[string][]string) {
	t.Helper()
	for name, row := range want {
		if line := strings.Join(row, " | "); strings.Join(got[name], " | ") != line {
			t.Errorf("the row of %s is missing or old; it should be\n| %s |", name, line)
		}
	}
	for name := range got {
		if want[name] == nil {
			t.Errorf("%s is documented and does not exist", name)
		}
	}
}
