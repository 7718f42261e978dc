package contest

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/tickcast/tickcast/bench/internal/host"
)

// A Result is what a contest found, as it is kept in a file.
type Result struct {
	Kind    string            `json:"kind"` // compare or peers
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
	BytesPerSec      Spread `json:"measured_bytes_per_second"` // of WebSocket frames, before TLS
	RSSPerConnection Spread `json:"rss_bytes_per_connection"`
	RSS              Spread `json:"rss_bytes"`
	ServerCores      Spread `json:"server_cores"` // CPU seconds a second
	LoadCores        Spread `json:"load_cores"`
	Waited           Spread `json:"server_waited"` // share of the time
	// ToFloor and ToGWS compare the CPU a tick with theirs of the same repeat; 0 without one.
	ToFloor Spread `json:"cpu_per_tick_to_floor"`
	ToGWS   Spread `json:"cpu_per_tick_to_gws"`
	// Latency is pairs of a percentile and the median of the repeats' µs.
	Latency [][2]float64 `json:"latency_distribution_us,omitempty"`
	Lost    int64        `json:"lost"` // subscribers that failed or ended, in all repeats
	Missed  int64        `json:"missed"`
	Runs    []Run        `json:"runs"`
}

// The servers that others are compared with.
const (
	Floor = "floor"
	GWS   = "gws"
)

// Summarize works out the rows.
func Summarize(all []Rows) []Row {
	type who struct {
		cell Cell
		name string
	}
	runs := make(map[who][]Run)
	for _, r := range all {
		runs[who{r.Cell, r.Server}] = r.Runs
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
		row.BytesPerSec = spread(func(r *Run) float64 { return float64(r.WireBytes) / r.Seconds })
		row.RSSPerConnection = spread(func(r *Run) float64 { return r.RSSPerConn })
		row.RSS = spread(func(r *Run) float64 { return r.RSS })
		row.ServerCores = spread(func(r *Run) float64 { return r.ServerCPU / r.Seconds })
		row.LoadCores = spread(func(r *Run) float64 { return r.LoadCPU / r.Seconds })
		row.Waited = spread((*Run).Waited)
		row.ToFloor = ratios(r.Runs, runs[who{r.Cell, Floor}])
		row.ToGWS = ratios(r.Runs, runs[who{r.Cell, GWS}])
		if len(r.Runs) > 0 {
			for i, point := range r.Runs[0].Latency {
				us := spread(func(r *Run) float64 { return r.Latency[i][1] })
				row.Latency = append(row.Latency, [2]float64{point[0], us.Median})
			}
		}
		for _, run := range r.Runs {
			row.Lost += run.Failed + int64(run.Ready-run.Open)
			row.Missed += run.Missed
		}
		rows = append(rows, row)
	}
	return rows
}

// ratios compares the CPU a tick, repeat by repeat: a machine that slows down for both does
// not show.
func ratios(runs, to []Run) Spread {
	var all []float64
	for i := range min(len(runs), len(to)) {
		if to[i].PerTick() > 0 {
			all = append(all, runs[i].PerTick()/to[i].PerTick())
		}
	}
	return NewSpread(all)
}

// Write keeps the result as name.json, and as a page in name.md.
func (r *Result) Write(dir, name string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, name+".json"), append(data, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, name+".md"), []byte(r.Page(name)), 0o644),
	)
}
