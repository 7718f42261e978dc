package contest

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/tickcast/tickcast/bench/internal/host"
)

// A Result is what a contest found, as it is kept in a file.
type Result struct {
	Stamp   host.Stamp        `json:"stamp"`
	Repeats int               `json:"repeats"`
	Servers map[string]string `json:"servers"` // what each is
	Rows    []Row             `json:"rows"`
}

// A Row is one server in one cell.
type Row struct {
	Cell
	Server           string `json:"server"`
	PerTickNS        Spread `json:"cpu_ns_per_tick"`
	PerMessageUS     Spread `json:"cpu_us_per_message"`
	TicksPerMessage  Spread `json:"measured_ticks_per_message"`
	MessagesPerSec   Spread `json:"measured_messages_per_second"`
	RSSPerConnection Spread `json:"rss_bytes_per_connection"`
	RSS              Spread `json:"rss_bytes"`
	ServerCores      Spread `json:"server_cores"` // CPU seconds a second
	LoadCores        Spread `json:"load_cores"`
	Waited           Spread `json:"server_waited"` // share of the time
	// ToFloor compares the CPU a tick with the floor's of the same repeat; 0 without one.
	ToFloor Spread `json:"cpu_per_tick_to_floor"`
	Lost    int64  `json:"lost"` // subscribers that failed or ended, in all repeats
	Missed  int64  `json:"missed"`
	Runs    []Run  `json:"runs"`
}

// Floor is the name of the server that others are compared with.
const Floor = "floor"

// Summarize works out the rows.
func Summarize(all []Rows) []Row {
	floors := make(map[Cell][]Run)
	for _, r := range all {
		if r.Server == Floor {
			floors[r.Cell] = r.Runs
		}
	}
	var rows []Row
	for _, r := range all {
		row := Row{Cell: r.Cell, Server: r.Server, Runs: r.Runs}
		spread := func(value func(*Run) float64) Spread {
			var all []float64
			for i := range r.Runs {
				all = append(all, value(&r.Runs[i]))
			}
			return NewSpread(all)
		}
		row.PerTickNS, row.PerMessageUS, row.TicksPerMessage = spread((*Run).PerTick), spread((*Run).PerMessage), spread((*Run).TicksPerMessage)
		row.MessagesPerSec = spread(func(r *Run) float64 { return float64(r.Messages) / r.Seconds })
		row.RSSPerConnection = spread(func(r *Run) float64 { return r.RSSPerConn })
		row.RSS = spread(func(r *Run) float64 { return r.RSS })
		row.ServerCores = spread(func(r *Run) float64 { return r.ServerCPU / r.Seconds })
		row.LoadCores = spread(func(r *Run) float64 { return r.LoadCPU / r.Seconds })
		row.Waited = spread((*Run).Waited)
		var ratios []float64
		for i, f := range floors[r.Cell] {
			if i < len(r.Runs) && f.PerTick() > 0 {
				ratios = append(ratios, r.Runs[i].PerTick()/f.PerTick())
			}
		}
		row.ToFloor = NewSpread(ratios)
		for _, run := range r.Runs {
			row.Lost += run.Failed + int64(run.Ready-run.Open)
			row.Missed += run.Missed
		}
		rows = append(rows, row)
	}
	return rows
}

// Table writes the rows as a table of Markdown, or aligned for a terminal.
func (r *Result) Table(out io.Writer, markdown bool) error {
	head := []string{"subscribers", "ticks a message", "server", "µs a message", "ns a tick", "± %", "to floor", "measured ticks", "messages/s", "KiB a connection", "load's CPU", "waited", "lost"}
	w := out
	if !markdown {
		tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		defer func() { _ = tw.Flush() }()
		w = tw
	}
	line := func(cells []string) error {
		text := strings.Join(cells, "\t") + "\n"
		if markdown {
			text = "| " + strings.Join(cells, " | ") + " |\n"
		}
		_, err := io.WriteString(w, text)
		return err
	}
	if err := line(head); err != nil {
		return err
	}
	if markdown {
		if _, err := io.WriteString(w, strings.Repeat("| --- ", len(head))+"|\n"); err != nil {
			return err
		}
	}
	for _, row := range r.Rows {
		ratio := "-"
		if row.ToFloor.Median > 0 {
			ratio = fmt.Sprintf("%.2f (%.2f-%.2f)", row.ToFloor.Median, row.ToFloor.Min, row.ToFloor.Max)
		}
		err := line([]string{
			fmt.Sprint(row.Subscribers), fmt.Sprint(row.Ticks), row.Server,
			fmt.Sprintf("%.2f", row.PerMessageUS.Median), fmt.Sprintf("%.1f", row.PerTickNS.Median), fmt.Sprintf("%.0f", row.PerTickNS.Percent()), ratio,
			fmt.Sprintf("%.1f", row.TicksPerMessage.Median), fmt.Sprintf("%.0f", row.MessagesPerSec.Median),
			fmt.Sprintf("%.1f", row.RSSPerConnection.Median/1024), fmt.Sprintf("%.0f %%", 100*row.LoadCores.Median), fmt.Sprintf("%.0f %%", 100*row.Waited.Median), fmt.Sprint(row.Lost),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Write keeps the result as name.json and name.md.
func (r *Result) Write(dir, name string, order []string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	var page strings.Builder
	s := r.Stamp
	fmt.Fprintf(&page, "# %s\n\n`%s`\n\n%s, commit %s, %s, %d cores, Linux %s, %s. Medians of %d alternating repeats.\n\n",
		name, s.Command, s.Time.Format("2006-01-02 15:04 MST"), s.Commit, s.CPU, s.Cores, s.Kernel, s.Go, r.Repeats)
	if err := r.Table(&page, true); err != nil {
		return err
	}
	page.WriteString("\n± is half the distance from the least to the most. \"To floor\" compares the CPU a delivered tick with the floor's in the same repeat. \"Waited\" is for how much of the time others had the server's core; a run with over 10 % was repeated up to twice.\n\n")
	for _, name := range order {
		fmt.Fprintf(&page, "- %s: %s\n", name, r.Servers[name])
	}
	return os.WriteFile(filepath.Join(dir, name+".md"), []byte(page.String()), 0o644)
}
