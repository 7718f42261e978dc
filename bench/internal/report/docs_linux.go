package report

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tickcast/tickcast/bench/internal/contest"
)

// ErrMarks reports a page without the comments between which a table goes.
var ErrMarks = errors.New("report: no table's place")

// Docs returns what pages of the repository at root should hold, by file: README.md,
// docs/scaling.md, and a page beside each contest of bench/results. They are made of the
// results that are kept there.
func Docs(root string) (map[string]string, error) {
	results := filepath.Join(root, "bench", "results")
	names, err := filepath.Glob(filepath.Join(results, "*.json"))
	if err != nil {
		return nil, err
	}
	r, err := Read(names)
	if err != nil {
		return nil, err
	}
	pages := make(map[string]string)
	for i := range r.Contests {
		c := &r.Contests[i]
		pages[filepath.Join(results, c.Name+".md")] = c.Page(c.Name)
	}
	var errs []error
	for name, table := range map[string]string{"README.md": r.readme(), filepath.Join("docs", "scaling.md"): r.scaling()} {
		file := filepath.Join(root, name)
		text, err := os.ReadFile(file)
		if err == nil {
			pages[file], err = replace(string(text), table)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return pages, errors.Join(errs...)
}

const (
	begin = "<!-- go run ./bench report: begin -->\n"
	end   = "<!-- end -->\n"
)

// replace puts a table between the two comments.
func replace(text, table string) (string, error) {
	before, rest, ok := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", ErrMarks
	}
	return before + begin + table + end + after, nil
}

// readme shows one result of each kind, the newest of those with the most cells: the CPU of a
// delivered tick, and beside it how many times the floor's that is.
func (r *Results) readme() string {
	var s strings.Builder
	for _, kind := range []string{"compare", "peers"} {
		var widest *Contest
		for i := range r.Contests {
			if c := &r.Contests[i]; c.Kind == kind && (widest == nil || len(c.cells()) > len(widest.cells())) {
				widest = c
			}
		}
		if widest != nil {
			s.WriteString(widest.digest())
		}
	}
	if len(r.Proofs) > 0 {
		p := &r.Proofs[0]
		s.WriteString(contest.MarkdownTable(p.Cells()))
		fmt.Fprintf(&s, "\n`%s`: %s. Medians of %d.\n\n", p.Stamp.Command, p.Stamp, p.Repeats)
	}
	return s.String()
}

func (c *Contest) digest() string {
	var s strings.Builder
	head := append([]string{"subscribers", "symbols", "ticks a message"}, c.Order()...)
	var rows [][]string
	for _, cell := range c.cells() {
		cells := []string{fmt.Sprint(cell.Subscribers), fmt.Sprintf("%d of %d", cell.Each(), cell.All()), fmt.Sprint(cell.Ticks)}
		for _, server := range c.Order() {
			text := "-"
			if r := c.of(server, cell); r != nil {
				text = fmt.Sprintf("%.0f ns", r.PerTickNS.Median)
				if server != contest.Floor && r.ToFloor.Median > 0 {
					text += fmt.Sprintf(", %.2f", r.ToFloor.Median)
				}
			}
			cells = append(cells, text)
		}
		rows = append(rows, cells)
	}
	s.WriteString(contest.MarkdownTable(head, rows))
	fmt.Fprintf(&s, "\n`%s`: %s. Medians of %d. [All of it](bench/results/%s.md), with what each does.\n\n", c.Stamp.Command, c.Stamp, c.Repeats, c.Name)
	return s.String()
}

// scaling shows the check of each plan.
func (r *Results) scaling() string {
	var s strings.Builder
	for i := range r.Plans {
		p := &r.Plans[i]
		fmt.Fprintf(&s, "`%s`: %s. It fits what it was made of to %.0f %%.\n\n", p.Stamp.Command, p.Stamp, p.FitPercent)
		if p.Check != nil {
			s.WriteString(p.Check.Markdown())
			fmt.Fprintf(&s, "\n`%s`: %s.\n\n", p.Check.Stamp.Command, p.Check.Stamp)
		}
	}
	if s.Len() == 0 {
		return "No coefficients are kept yet.\n"
	}
	return s.String()
}
