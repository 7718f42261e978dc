package house

import (
	"bufio"
	"encoding/hex"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tickcast/tickcast/pkg/codec"
)

// The protocol page shows events in both encodings, one line each.
func TestRecordsOfTheProtocolPageAgree(t *testing.T) {
	_, section, ok := strings.Cut(Read(t, "docs/protocol.md"), "\n## Records in MessagePack\n")
	if !ok {
		t.Fatal("the section is gone")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	kinds := make(map[string]bool)
	text := ""
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			text = line
			continue
		}
		record, err := hex.DecodeString(line)
		if err != nil || len(record) == 0 {
			continue
		}
		got, err := codec.AppendJSON(nil, record)
		if err != nil || string(got) != text {
			t.Errorf("%s\nis %s (%v), not %s", line, got, err, text)
		}
		events, err := codec.DecodeBatch(codec.JSON, []byte("["+text+"]"))
		if err != nil || len(events) != 1 {
			t.Errorf("%s: %d events, %v", text, len(events), err)
		}
		kind, _, _ := strings.Cut(strings.TrimPrefix(text, `["`), `"`)
		kinds[kind] = true
	}
	for _, kind := range []string{"hello", "ack", "err", "pong", "t", "q", "b", "a", "snap", "gap", "stat", "hb", "bye"} {
		if !kinds[kind] {
			t.Errorf("no example of %q", kind)
		}
	}
}

// Every batch that the protocol page shows in JSON is one that the codec reads.
func TestCapturesOfTheProtocolPageAreEvents(t *testing.T) {
	scan := bufio.NewScanner(strings.NewReader(Read(t, "docs/protocol.md")))
	for scan.Scan() {
		line := scan.Text()
		if !strings.HasPrefix(line, `["`) {
			continue
		}
		if _, err := codec.DecodeBatch(codec.JSON, []byte("["+line+"]")); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// The requests, too, but for the two that are wrong on purpose.
func TestRequestsOfTheProtocolPage(t *testing.T) {
	refused := 0
	for line := range strings.Lines(Read(t, "docs/protocol.md")) {
		if !strings.HasPrefix(line, `{"`) {
			continue
		}
		if _, err := codec.DecodeRequest(codec.JSON, []byte(strings.TrimSpace(line))); err != nil {
			refused++
		}
	}
	if refused != 2 {
		t.Errorf("%d requests are refused, want 2", refused)
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestLinksResolve(t *testing.T) {
	root := Root(t)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			checkLink(t, path, m[1])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkLink(t *testing.T, from, to string) {
	t.Helper()
	if strings.Contains(to, "://") {
		return
	}
	name, anchor, _ := strings.Cut(to, "#")
	target := from
	if name != "" {
		target = filepath.Join(filepath.Dir(from), filepath.FromSlash(name))
	}
	text, err := os.ReadFile(target)
	if info, statErr := os.Stat(target); statErr == nil && info.IsDir() {
		err = nil
	}
	if err != nil {
		t.Errorf("%s: %v", from, err)
		return
	}
	if anchor == "" {
		return
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") && slug(line) == anchor {
			return
		}
	}
	t.Errorf("%s: %s has no heading for #%s", from, target, anchor)
}

// slug is the anchor that a heading gets: lower case, spaces as dashes, no punctuation.
func slug(heading string) string {
	heading = strings.ToLower(strings.TrimSpace(strings.TrimLeft(heading, "#")))
	return regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ReplaceAll(heading, " ", "-"), "")
}

var goBlock = regexp.MustCompile("(?s)\n```go\n(package main.*?)\n```\n")

func TestGoProgramsOfTheReadmeCompile(t *testing.T) {
	programs := goBlock.FindAllStringSubmatch(Read(t, "README.md"), -1)
	if len(programs) == 0 {
		t.Fatal("the README has no Go program")
	}
	for _, p := range programs {
		file := filepath.Join(t.TempDir(), "main.go")
		if err := os.WriteFile(file, []byte(p[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("go", "vet", file)
		cmd.Dir = Root(t)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// The threat model names tests, which should be there.
func TestTestsOfTheThreatModelExist(t *testing.T) {
	root := Root(t)
	there := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "node_modules":
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(text, -1) {
			there[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(Read(t, "SECURITY.md"), -1)
	if len(named) < 50 {
		t.Errorf("%d tests are named", len(named))
	}
	for _, m := range named {
		if !there[m[1]] {
			t.Errorf("there is no %s", m[1])
		}
	}
}
