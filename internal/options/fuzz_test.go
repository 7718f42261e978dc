package options

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type fuzzed struct {
	File
	Name    string
	Count   int
	Size    Bytes `default:"1MiB"`
	Wait    time.Duration
	List    []string
	Enabled bool `negatable:"" default:"true"`
}

func (*fuzzed) Validate() error { return nil }

// Whatever a configuration file holds, it is read, or refused in one line.
func FuzzConfigurationFile(f *testing.F) {
	for _, text := range []string{
		"name: x\ncount: 3\nsize: 64KiB\nwait: 5s\nlist: [a, b]\nenabled: false\n", "name: [x]\ncount: {a: 1}", "count: 1e400", "size: -1",
		"unknown: 1", "config: other.yaml", "name: &a [*a]", "a: &a {b: *a}", "- 1", "name: !!binary aGk=", "\x00", "name: ~", "wait: 9223372036854775808ns",
		"a: &a [1,1]\nb: &b [*a,*a]\nlist: [*b,*b]",
	} {
		f.Add(text)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		name := filepath.Join(dir, "options.yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var o fuzzed
		if err := Read("test", "", &o, []string{"--config", name}, io.Discard); err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", text, err)
		}
		if o.Size < 0 {
			t.Errorf("%q: size %d", text, o.Size)
		}
	})
}
