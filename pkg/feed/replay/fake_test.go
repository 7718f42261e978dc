package replay

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tickcast/tickcast/pkg/feed"
	"github.com/tickcast/tickcast/pkg/market"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A recorder writes down what it gets, a line each: "t SYMBOL time price size side id" and
// "q SYMBOL time bid size ask size".
type recorder struct {
	lines     []string
	at        []time.Time // when
	announced []string
	cancel    context.CancelFunc
	limit     int
}

func (r *recorder) Announce(list ...feed.Instrument) {
	for _, in := range list {
		r.announced = append(r.announced, fmt.Sprintf("%s%v", in.Symbol, in.Channels))
	}
}

func (r *recorder) Rewind() { r.lines = append(r.lines, "rewind") }
func (r *recorder) Missed() { r.lines = append(r.lines, "missed") }

func (r *recorder) Trade(t *market.Trade) {
	r.take(fmt.Sprintf("t %s %d %s %s %s %s", t.Symbol, t.Time, number(t.Price), number(t.Size), side(t.Side), t.ID))
}

func (r *recorder) Quote(q *market.Quote) {
	r.take(fmt.Sprintf("q %s %d %s %s %s %s", q.Symbol, q.Time, number(q.BidPrice), number(q.BidSize), number(q.AskPrice), number(q.AskSize)))
}

func (r *recorder) take(line string) {
	r.lines = append(r.lines, strings.TrimSpace(line))
	r.at = append(r.at, time.Now())
	if r.limit > 0 && len(r.lines) >= r.limit {
		r.cancel()
	}
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

func side(s market.Side) string { return [...]string{"?", "b", "s"}[s] }

// write puts files into a new folder: a name that ends in .gz is gzipped, "x.zip>name" is
// the content of an entry.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		name, entry, _ := strings.Cut(name, ">")
		data := []byte(content)
		var buf bytes.Buffer
		switch {
		case entry != "":
			z := zip.NewWriter(&buf)
			w, err := z.Create(entry)
			if err == nil {
				_, err = w.Write(data)
			}
			if err != nil || z.Close() != nil {
				t.Fatal(err)
			}
			data = buf.Bytes()
		case strings.HasSuffix(name, ".gz"):
			z := gzip.NewWriter(&buf)
			if _, err := z.Write(data); err != nil || z.Close() != nil {
				t.Fatal(err)
			}
			data = buf.Bytes()
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// play replays path to its end, and returns what came, the counts and the warnings.
func play(t testing.TB, path string, cfg Config) (*recorder, Stats, []string) {
	t.Helper()
	core, logs := observer.New(zap.WarnLevel)
	s, err := New(path, cfg, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	r := new(recorder)
	if err := s.Run(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var warnings []string
	for _, e := range logs.All() {
		warnings = append(warnings, fmt.Sprint(e.Message, e.ContextMap()))
	}
	return r, s.Stats(), warnings
}

func sameLines(t testing.TB, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("event %d:\ngot  %q\nwant %q", i, g, w)
		}
	}
}

func join(lines ...string) string { return strings.Join(lines, "\n") + "\n" }

// discard takes everything and does nothing.
type discard struct{}

func (discard) Announce(...feed.Instrument) {}
func (discard) Trade(*market.Trade)         {}
func (discard) Quote(*market.Quote)         {}
func (discard) Rewind()                     {}
func (discard) Missed()                     {}
