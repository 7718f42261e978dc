package house

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tickcast/tickcast/"

// noStd are the parts of the standard library that a package does without, so that its time
// is an argument and its input bytes.
var noStd = map[string][]string{
	"pkg/market":       {"net", "os", "time"},
	"pkg/subscribe":    {"net", "os", "time"},
	"pkg/backpressure": {"net", "os", "time"},
	"pkg/codec":        {"net", "os"},
}

func TestImportsAreAsDrawn(t *testing.T) {
	may := Table(t, "docs/architecture.md", "## Who may import whom")
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = Root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.Imports) == 0 {
			continue // tests only
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		seen[name] = true
		row := may[name]
		if row == nil {
			t.Errorf("%s has no row", name)
			continue
		}
		for _, imp := range p.Imports {
			ours, isOurs := strings.CutPrefix(imp, module)
			first, _, _ := strings.Cut(imp, "/")
			switch {
			case isOurs && !listed(row[1], ours):
				t.Errorf("%s may not import %s", name, ours)
			case !isOurs && strings.Contains(first, ".") && !listedUnder(row[2], imp):
				t.Errorf("%s may not import %s", name, imp)
			case slices.Contains(noStd[name], first):
				t.Errorf("%s may not import %s", name, imp)
			}
		}
	}
	for name := range may {
		if !seen[name] {
			t.Errorf("%s has a row and is no package", name)
		}
	}
}

func listed(cell, name string) bool { return slices.Contains(split(cell), name) }

// listedUnder reports that a library, or one that it is a package of, is listed by the last
// elements of its path: "zap" for go.uber.org/zap/zapcore.
func listedUnder(cell, imp string) bool {
	return slices.ContainsFunc(split(cell), func(lib string) bool {
		return strings.Contains(imp+"/", "/"+lib+"/")
	})
}

func split(cell string) []string {
	all := strings.Split(cell, ",")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}
