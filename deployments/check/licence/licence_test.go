package licence_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tickcast/tickcast/deployments/check/licence"
)

func TestEverythingIsUnderLicencesThatAreAllowed(t *testing.T) {
	for _, tt := range []struct {
		dir      string
		tests    bool
		packages string
		least    int // packages that are there
	}{
		{"../../..", false, "./cmd/...", 20},
		{"../../..", true, "./...", 50},
		{"..", true, "./...", 50},
		{"../../cluster", true, "./...", 50},
	} {
		all, err := licence.Modules(tt.dir, tt.tests, tt.packages)
		if err != nil {
			t.Fatal(err)
		}
		hold(t, tt.dir+" "+tt.packages, all, tt.least)
	}
	for dir, least := range map[string]int{"../../../web": 50, "../../../clients/typescript": 50} {
		text, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
		if err != nil {
			t.Fatal(err)
		}
		all, err := licence.Lock(text)
		if err != nil {
			t.Fatal(err)
		}
		hold(t, dir, all, least)
	}
}

func hold(t *testing.T, of string, all []licence.Package, least int) {
	t.Helper()
	if len(all) < least {
		t.Errorf("%s: only %d packages were found", of, len(all))
	}
	t.Logf("%s: %d packages", of, len(all))
	for _, p := range all {
		if err := p.Check(); err != nil {
			t.Errorf("%s: %v", of, err)
		}
	}
}

// A module that a program imports is refused by name, whatever its licence says or lacks.
func TestModulesThatAreRefused(t *testing.T) {
	const gpl = "This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version.\n"
	const mpl = "This Source Code Form is subject to the terms of the Mozilla Public License, v. 2.0. If a copy of the MPL was not distributed with this file, You can obtain one at https://mozilla.org/MPL/2.0/.\n"
	const apache = "Licensed under the Apache License, Version 2.0 (the \"License\"); you may not use this file except in compliance with the License. You may obtain a copy of the License at\n\nhttp://www.apache.org/licenses/LICENSE-2.0\n\nUnless required by applicable law or agreed to in writing, software distributed under the License is distributed on an \"AS IS\" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the specific language governing permissions and limitations under the License.\n"
	for name, tt := range map[string]struct {
		files map[string]string
		want  string // "" = it is allowed
	}{
		"one that is allowed":   {map[string]string{"LICENSE": apache}, ""},
		"copyleft":              {map[string]string{"LICENSE": gpl}, "example.com/planted v1.2.3: licence GPL-3.0-or-later is not allowed"},
		"copyleft beside":       {map[string]string{"LICENSE": apache, "COPYING.extra": gpl}, "example.com/planted v1.2.3: licence GPL-3.0-or-later is not allowed"},
		"words of somebody":     {map[string]string{"LICENSE.md": "All rights reserved. Ask before you copy."}, "example.com/planted v1.2.3: no licence that is known"},
		"none":                  {map[string]string{"README.md": apache}, "example.com/planted v1.2.3: no licence that is known"},
		"what tests alone have": {map[string]string{"LICENSE": mpl}, "example.com/planted v1.2.3: licence MPL-2.0 is not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put := func(name, text string) {
				t.Helper()
				at := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			put("go.mod", "module example.com/main\n\ngo 1.26\n\nrequire example.com/planted v1.2.3\n\nreplace example.com/planted => ./planted\n")
			put("main.go", "package main\n\nimport _ \"example.com/planted\"\n\nfunc main() {}\n")
			put("planted/go.mod", "module example.com/planted\n\ngo 1.26\n")
			put("planted/planted.go", "package planted\n")
			for name, text := range tt.files {
				put("planted/"+name, text)
			}
			all, err := licence.Modules(dir, false, "./...")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range all {
				if err := p.Check(); err != nil {
					got = append(got, err.Error())
				}
			}
			if strings.Join(got, "\n") != tt.want {
				t.Errorf("%d modules: %q, want %q", len(all), got, tt.want)
			}
		})
	}
}

func TestPackagesThatAreRefused(t *testing.T) {
	for _, tt := range []struct{ name, entry, want string }{
		{"allowed", `"node_modules/a":{"version":"1.0.0","integrity":"x","license":"MIT"}`, ""},
		{"copyleft", `"node_modules/a/node_modules/@b/c":{"version":"1.0.0","integrity":"x","license":"AGPL-3.0"}`, "@b/c 1.0.0: licence AGPL-3.0 is not allowed"},
		{"for development, too", `"node_modules/a":{"version":"1.0.0","integrity":"x","license":"GPL-2.0","dev":true}`, "a 1.0.0: licence GPL-2.0 is not allowed"},
		{"none", `"node_modules/a":{"version":"1.0.0","integrity":"x"}`, "a 1.0.0: no licence that is known"},
		{"an exception", `"node_modules/axe-core":{"version":"1.0.0","integrity":"x","license":"MPL-2.0","dev":true}`, ""},
		{"an exception that is shipped", `"node_modules/axe-core":{"version":"1.0.0","integrity":"x","license":"MPL-2.0"}`, "axe-core 1.0.0: licence MPL-2.0 is not allowed"},
	} {
		all, err := licence.Lock([]byte(`{"packages":{"":{"license":"GPL-3.0"},` + tt.entry + `}}`))
		if err != nil || len(all) != 1 {
			t.Fatalf("%s: %d packages, %v", tt.name, len(all), err)
		}
		got := ""
		if err := all[0].Check(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
