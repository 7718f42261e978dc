package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tickcast/tickcast/bench/internal/contest"
	"github.com/tickcast/tickcast/bench/internal/host"
	"github.com/tickcast/tickcast/bench/internal/plan"
)

// Results is what files held, each kind the newest first.
type Results struct {
	Contests []Contest // of compare and peers
	Loads    []Load    // of load --json
	Plans    []Plan    // of calibrate and plan --check
	Proofs   []Proof   // of prove
}

// A Contest is one file of compare or peers.
type Contest struct {
	Name string // the file's, without its folder and ending
	contest.Result
}

// A Plan is one file of calibrate.
type Plan struct {
	Name string
	plan.File
}

// A Load is one file of load --json.
type Load struct {
	Name         string       `json:"-"`
	Stamp        host.Stamp   `json:"stamp"`
	Subscribers  int          `json:"subscribers"`
	Open         int          `json:"open"`
	Seconds      float64      `json:"seconds"`
	Events       int64        `json:"events"`
	Messages     int64        `json:"messages"`
	WireBytes    int64        `json:"wire_bytes"`
	Gaps         int64        `json:"gaps"`
	Distribution [][2]float64 `json:"latency_distribution_us"`
	Latency      struct {
		P50  int64 `json:"p50"`
		P99  int64 `json:"p99"`
		P999 int64 `json:"p99.9"`
		Max  int64 `json:"max"`
	} `json:"latency_us"`
	OwnCPU float64 `json:"own_cpu_seconds"`
	Server struct {
		CPU        float64 `json:"cpu_seconds"`
		RSSPerConn float64 `json:"rss_bytes_per_connection"`
	} `json:"server"`
}

// A Proof is one file of prove.
type Proof struct {
	Name    string     `json:"-"`
	Stamp   host.Stamp `json:"stamp"`
	Repeats int        `json:"repeats"`
	Figures []struct {
		Part string `json:"part"`
		What string `json:"what"`
		Unit string `json:"unit"`
		contest.Spread
		Most float64 `json:"at_most"` // what was promised; 0 = nothing
	} `json:"figures"`
}

// Cells are the figures as a table.
func (p *Proof) Cells() (head []string, rows [][]string) {
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
	for i := range p.Figures {
		f := &p.Figures[i]
		most := ""
		if f.Most > 0 {
			most = number(f.Most)
		}
		rows = append(rows, []string{f.Part, f.What, number(f.Median), number(f.Min) + " to " + number(f.Max), most, f.Unit})
	}
	return []string{"part", "what", "median", "least to most", "at most", "unit"}, rows
}

// ErrKind reports a file that no command of the benchmarks writes.
var ErrKind = errors.New("report: of neither compare, peers, load, calibrate nor prove")

// Read reads result files. Errors of all files are joined.
func Read(names []string) (*Results, error) {
	r := &Results{}
	var errs []error
	for _, name := range names {
		if err := r.add(name); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	newest := func(a, b host.Stamp, nameA, nameB string) int {
		if c := b.Time.Compare(a.Time); c != 0 {
			return c
		}
		return strings.Compare(nameA, nameB)
	}
	slices.SortFunc(r.Contests, func(a, b Contest) int { return newest(a.Stamp, b.Stamp, a.Name, b.Name) })
	slices.SortFunc(r.Loads, func(a, b Load) int { return newest(a.Stamp, b.Stamp, a.Name, b.Name) })
	slices.SortFunc(r.Proofs, func(a, b Proof) int { return newest(a.Stamp, b.Stamp, a.Name, b.Name) })
	slices.SortFunc(r.Plans, func(a, b Plan) int { return newest(a.Stamp, b.Stamp, a.Name, b.Name) })
	return r, errors.Join(errs...)
}

// add tells kinds of files apart by a field that only one of them has.
func (r *Results) add(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var has map[string]json.RawMessage
	if err := json.Unmarshal(text, &has); err != nil {
		return err
	}
	short := strings.TrimSuffix(filepath.Base(name), ".json")
	switch {
	case has["rows"] != nil:
		c := Contest{Name: short}
		if err := json.Unmarshal(text, &c.Result); err != nil {
			return err
		}
		if c.Kind == "" {
			c.Kind = "compare" // before kinds were kept there was no other
		}
		r.Contests = append(r.Contests, c)
	case has["latency_us"] != nil:
		l := Load{Name: short}
		if err := json.Unmarshal(text, &l); err != nil {
			return err
		}
		r.Loads = append(r.Loads, l)
	case has["frame_us"] != nil:
		p := Plan{Name: short}
		if err := json.Unmarshal(text, &p.File); err != nil {
			return err
		}
		r.Plans = append(r.Plans, p)
	case has["figures"] != nil:
		p := Proof{Name: short}
		if err := json.Unmarshal(text, &p); err != nil {
			return err
		}
		r.Proofs = append(r.Proofs, p)
	default:
		return ErrKind
	}
	return nil
}
