package contest

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Order is the names of the servers in the order of the rows.
func (r *Result) Order() []string {
	var names []string
	for i := range r.Rows {
		if !slices.Contains(names, r.Rows[i].Server) {
			names = append(names, r.Rows[i].Server)
		}
	}
	return names
}

var head = []string{"subscribers", "symbols", "ticks a message", "server", "µs a message", "ns a tick", "± %", "to floor", "to gws",
	"measured ticks", "messages/s", "KiB a connection", "load's CPU", "waited", "lost"}

func (row *Row) cells() []string {
	ratio := func(s Spread) string {
		if s.Median == 0 {
			return "-"
		}
		return fmt.Sprintf("%.2f (%.2f-%.2f)", s.Median, s.Min, s.Max)
	}
	return []string{
		fmt.Sprint(row.Subscribers), fmt.Sprintf("%d of %d", row.Each(), row.All()), fmt.Sprint(row.Ticks), row.Server,
		fmt.Sprintf("%.2f", row.PerMessageUS.Median), fmt.Sprintf("%.1f", row.PerTickNS.Median), fmt.Sprintf("%.0f", row.PerTickNS.Percent()),
		ratio(row.ToFloor), ratio(row.ToGWS),
		fmt.Sprintf("%.1f", row.TicksPerMessage.Median), fmt.Sprintf("%.0f", row.MessagesPerSec.Median),
		fmt.Sprintf("%.1f", row.RSSPerConnection.Median/1024), fmt.Sprintf("%.0f %%", 100*row.LoadCores.Median),
		fmt.Sprintf("%.0f %%", 100*row.Waited.Median), fmt.Sprint(row.Lost),
	}
}

// Cells are the rows as a table.
func (r *Result) Cells() (columns []string, rows [][]string) {
	for i := range r.Rows {
		rows = append(rows, r.Rows[i].cells())
	}
	return head, rows
}

// Table writes the rows aligned, for a terminal.
func (r *Result) Table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	columns, rows := r.Cells()
	for _, row := range append([][]string{columns}, rows...) {
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// Page is the result in Markdown: where, when and how it was measured, the rows, and what
// each server does.
func (r *Result) Page(name string) string {
	var page strings.Builder
	fmt.Fprintf(&page, "# %s\n\n`%s`\n\n%s. Medians of %d alternating repeats.\n\n", name, r.Stamp.Command, r.Stamp, r.Repeats)
	page.WriteString(MarkdownTable(r.Cells()))
	page.WriteString("\n± is half the distance from the least to the most. \"To floor\" and \"to gws\" compare the CPU a delivered tick with theirs in the same repeat: the median of the ratios, the least and the most. \"Waited\" is for how much of the time others had the server's core; a run with over 10 % was repeated up to twice.\n\n")
	for _, name := range r.Order() {
		fmt.Fprintf(&page, "- %s: %s\n", name, r.Servers[name])
	}
	return page.String()
}

// MarkdownTable writes a table.
func MarkdownTable(head []string, rows [][]string) string {
	var s strings.Builder
	line := func(cells []string) { s.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(head)
	s.WriteString(strings.Repeat("| --- ", len(head)) + "|\n")
	for _, row := range rows {
		line(row)
	}
	return s.String()
}
