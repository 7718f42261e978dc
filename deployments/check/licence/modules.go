package licence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// Modules returns the Go modules that the packages of a module's folder are built from, with
// those of its tests too where tests is set; not the module itself.
func Modules(dir string, tests bool, packages ...string) ([]Package, error) {
	args := []string{"list", "-deps", "-json=Module", "-tags", "browser,proxy,clock,cluster"}
	if tests {
		args = append(args, "-test")
	}
	cmd := exec.Command("go", append(args, packages...)...)
	cmd.Dir = dir
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w\n%s", dir, err, complaint.Bytes())
	}
	var all []Package
	seen := make(map[string]bool)
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Module *struct {
				Path, Version, Dir string
				Main               bool
			}
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		m := p.Module
		if m == nil || m.Main || seen[m.Path] {
			continue
		}
		seen[m.Path] = true
		ids, err := Of(m.Path, m.Dir)
		if err != nil {
			return nil, err
		}
		all = append(all, Package{Name: m.Path, Version: m.Version, Licences: ids, Shipped: !tests})
	}
}

// Lock returns the npm packages of a lock file, but those of its own folder. One is shipped if it
// is needed for more than development.
func Lock(text []byte) ([]Package, error) {
	var lock struct {
		Packages map[string]struct {
			Version, Integrity, License string
			Dev                         bool
		}
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		return nil, err
	}
	var all []Package
	for path, p := range lock.Packages {
		at := strings.LastIndex(path, "node_modules/")
		if at < 0 || p.Integrity == "" {
			continue // a folder of ours, or a link to one
		}
		one := Package{Name: path[at+len("node_modules/"):], Version: p.Version, Shipped: !p.Dev, Integrity: p.Integrity}
		if p.License != "" {
			one.Licences = []string{p.License}
		}
		all = append(all, one)
	}
	return all, nil
}
