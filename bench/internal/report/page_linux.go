package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// A Plot is a chart as SVG.
type Plot struct {
	File string // its name
	SVG  []byte
}

type section struct {
	Title, Command, Stamp, About string
	Head                         []string
	Rows                         [][]string
	Notes                        []string
	Plots                        []template.HTML
	Open                         bool // the table is what there is to see
}

// Page writes one page of HTML that needs no other file, and returns its plots.
func (r *Results) Page(out io.Writer) (plots []Plot, err error) {
	var sections []section
	add := func(s section, name string, charts []*chart) {
		for _, ch := range charts {
			if ch == nil {
				continue
			}
			svg, e := ch.svg()
			if e != nil {
				err = e
				return
			}
			plots = append(plots, Plot{fileName(name, ch), svg})
			s.Plots = append(s.Plots, template.HTML(svg)) //nolint:gosec // ours
		}
		sections = append(sections, s)
	}
	for i := range r.Contests {
		c := &r.Contests[i]
		s := section{
			Title: c.Name, Command: c.Stamp.Command, Stamp: c.Stamp.String(),
			About: fmt.Sprintf("Medians of %d alternating repeats; whiskers and brackets go from the least to the most. A ratio compares the CPU of a delivered tick with that of the same repeat.", c.Repeats),
		}
		s.Head, s.Rows = c.Cells()
		for _, name := range c.Order() {
			s.Notes = append(s.Notes, name+": "+c.Servers[name])
		}
		add(s, c.Name, c.charts())
	}
	if len(r.Loads) > 0 {
		s := section{Title: "Loads", About: "Each is a run of load. Latencies are from the time in a message's first event to its receipt, corrected for coordinated omission."}
		s.Head, s.Rows = loadTable(r.Loads)
		for i := range r.Loads {
			s.Notes = append(s.Notes, fmt.Sprintf("%s: %s; %s", r.Loads[i].Name, r.Loads[i].Stamp.Command, r.Loads[i].Stamp))
		}
		add(s, "loads", loadCharts(r.Loads))
	}
	for i := range r.Proofs {
		p := &r.Proofs[i]
		s := section{Title: p.Name, Command: p.Stamp.Command, Stamp: p.Stamp.String(), About: fmt.Sprintf("What was promised and what was found: medians of %d.", p.Repeats), Open: true}
		s.Head, s.Rows = p.Cells()
		add(s, p.Name, nil)
	}
	for i := range r.Plans {
		p := &r.Plans[i]
		s := section{
			Title: p.Name, Command: p.Stamp.Command, Stamp: p.Stamp.String(),
			About: fmt.Sprintf("What plan reckons with: off by at most %.0f %% where it was made.", p.FitPercent),
		}
		if p.Check != nil {
			s.About += fmt.Sprintf(" Held to other loads by %s (%s), its CPU was off by at most %.0f %%.", p.Check.Stamp.Command, p.Check.Stamp, p.Check.Worst())
			s.Head, s.Rows = p.Check.Cells()
		}
		add(s, p.Name, []*chart{p.chart()})
	}
	if err != nil {
		return nil, err
	}
	return plots, page.Execute(out, sections)
}

func loadTable(loads []Load) (head []string, rows [][]string) {
	head = []string{"load", "subscribers", "events/s", "messages/s", "MB/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "gaps", "us CPU a message", "KiB a connection", "load's CPU"}
	for i := range loads {
		l := &loads[i]
		per := func(n int64) float64 { return float64(n) / max(l.Seconds, 1e-9) }
		ms := func(us int64) string { return fmt.Sprintf("%.2f", float64(us)/1000) }
		cpu, memory := "-", "-"
		if l.Server.CPU > 0 {
			cpu = fmt.Sprintf("%.2f", l.Server.CPU/float64(max(1, l.Messages))*1e6)
			memory = fmt.Sprintf("%.1f", l.Server.RSSPerConn/1024)
		}
		rows = append(rows, []string{
			l.Name, fmt.Sprint(l.Subscribers), fmt.Sprintf("%.0f", per(l.Events)), fmt.Sprintf("%.0f", per(l.Messages)), fmt.Sprintf("%.1f", per(l.WireBytes)/1e6),
			ms(l.Latency.P50), ms(l.Latency.P99), ms(l.Latency.P999), ms(l.Latency.Max), fmt.Sprint(l.Gaps), cpu, memory, fmt.Sprintf("%.0f %%", 100*l.OwnCPU/max(l.Seconds, 1e-9)),
		})
	}
	return head, rows
}
