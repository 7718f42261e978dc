// Package licence knows under which terms others let us use their work: that of each Go module
// by the texts in it, that of each npm package by what the lock file says. What is built into
// the programs or the page is under permissive terms; what only tests and tools need may be an
// exception, by name. Its test holds all modules of the project to that.
package licence

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// A Package is a Go module or an npm package that somebody else wrote.
type Package struct {
	Name, Version string
	Licences      []string // SPDX identifiers, all of which hold; none where they are unknown
	Shipped       bool     // part of the programs, of the page or of the client library
	Integrity     string   // npm's hash of it, "sha512-" and base64
}

// permissive are the licences that ask for no more than that they are named.
var permissive = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "Unlicense"}

// exceptions are the licences that a package may have on top, where it is not shipped. Fonts are
// in the plots of bench, and not in the programs.
var exceptions = map[string][]string{
	"codeberg.org/go-fonts/liberation":      {"OFL-1.1"},      // plots of bench
	"github.com/ajstarks/svgo":              {"CC-BY-4.0"},    // the same
	"github.com/golang/freetype":            {"FTL"},          // the same
	"github.com/cyphar/filepath-securejoin": {"MPL-2.0"},      // of Helm, unchanged
	"github.com/opencontainers/go-digest":   {"CC-BY-SA-4.0"}, // its documents
	"pgregory.net/rapid":                    {"MPL-2.0"},      // tests, unchanged
	"axe-core":                              {"MPL-2.0"},      // tests, unchanged
	"lightningcss":                          {"MPL-2.0"},      // builds the page, unchanged; so do its parts
}

// read says of licences which no program recognises what a person read in them.
var read = map[string][]string{
	"github.com/ajstarks/svgo":   {"CC-BY-4.0"},
	"github.com/golang/freetype": {"FTL"}, // or the GPL, by choice
}

// Check refuses a package under other terms than those above.
func (p Package) Check() error {
	if len(p.Licences) == 0 {
		return fmt.Errorf("%s %s: no licence that is known", p.Name, p.Version)
	}
	for _, id := range p.Licences {
		if slices.Contains(permissive, id) || !p.Shipped && slices.Contains(excepted(p.Name), id) {
			continue
		}
		return fmt.Errorf("%s %s: licence %s is not allowed", p.Name, p.Version, id)
	}
	return nil
}

func excepted(name string) []string {
	if strings.HasPrefix(name, "lightningcss-") { // a package for each system
		name = "lightningcss"
	}
	return exceptions[name]
}

// file matches the names that texts of licences have. A NOTICE is none, nor are patent grants.
var file = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)`)

// recognised is how much of a file, in percent, must be the text of licences.
const recognised = 75

// Of returns the licences whose texts are in the folder of the Go module of that name. There are
// none if one of the files is something else.
func Of(name, dir string) ([]string, error) {
	if ids, ok := read[name]; ok {
		return ids, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() || !file.MatchString(e.Name()) || filepath.Ext(e.Name()) == ".go" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		found := licensecheck.Scan(text)
		if found.Percent < recognised {
			return nil, nil
		}
		for _, m := range found.Match {
			ids = append(ids, m.ID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
