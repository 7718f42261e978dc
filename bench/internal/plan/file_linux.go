package plan

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/tickcast/tickcast/bench/internal/contest"
	"github.com/tickcast/tickcast/bench/internal/host"
)

// A File is the coefficients of one machine, as they are kept.
type File struct {
	Stamp host.Stamp `json:"stamp"`
	Coefficients
	Check *Check `json:"check,omitempty"`
}

// A Check compares forecasts with loads that the coefficients were not made with.
type Check struct {
	Stamp host.Stamp `json:"stamp"`
	Rows  []CheckRow `json:"rows"`
}

// CheckRow is one load.
type CheckRow struct {
	contest.Cell
	Cores    Pair    `json:"cores"`
	Messages Pair    `json:"messages"`      // a second
	Payload  Pair    `json:"payload_bytes"` // a second
	Memory   Pair    `json:"memory_bytes"`
	Waited   float64 `json:"server_waited"` // share of the time for which others had its core
}

// A Pair is what was forecast, and the median of what was measured.
type Pair struct {
	Forecast float64 `json:"forecast"`
	Measured float64 `json:"measured"`
}

// Percent is by how much the forecast differs from what was measured.
func (p Pair) Percent() float64 { return 100 * (p.Forecast/p.Measured - 1) }

// Worst is the largest error of the CPU in percent, without its sign.
func (c *Check) Worst() (percent float64) {
	for i := range c.Rows {
		percent = max(percent, math.Abs(c.Rows[i].Cores.Percent()))
	}
	return percent
}

// Compare makes a row of a contest into one of a check. eventBytes is the size of an event.
func (c *Coefficients) Compare(r *contest.Row, eventBytes int) CheckRow {
	l := &Load{
		Subscribers: r.Subscribers, Symbols: r.Each(), Market: r.All(), Rate: r.Rate(), EventBytes: eventBytes, Window: r.Window(), TLS: r.TLS, History: Lived(r),
		Target: math.MaxInt32, Cores: 1, Connections: r.Subscribers,
	}
	f, _ := c.Forecast(l) // cannot fail: no load is too much for such a target
	return CheckRow{
		Cell:     r.Cell,
		Cores:    Pair{f.CoresBusy, r.ServerCores.Median},
		Messages: Pair{f.Frames, r.MessagesPerSec.Median},
		Payload:  Pair{f.Payload, r.BytesPerSec.Median},
		Memory:   Pair{f.Memory, r.RSS.Median},
		Waited:   r.Waited.Median,
	}
}

// Lived is for how long the node of a row had received events when its memory was read.
func Lived(r *contest.Row) time.Duration {
	var all []float64
	for _, run := range r.Runs {
		all = append(all, run.ConnectSecond+run.WarmupSecond+run.Seconds)
	}
	return time.Duration(contest.NewSpread(all).Median * float64(time.Second))
}

// Cells are the check as a table.
func (c *Check) Cells() (head []string, rows [][]string) {
	pair := func(p Pair, unit float64, digits int) string {
		return fmt.Sprintf("%.*f, was %.*f: %+.0f %%", digits, p.Forecast/unit, digits, p.Measured/unit, p.Percent())
	}
	for i := range c.Rows {
		r := &c.Rows[i]
		tls := ""
		if r.TLS {
			tls = "yes"
		}
		rows = append(rows, []string{
			fmt.Sprintf("%d of %d symbols of %d, %.0f events/s, %s", r.Subscribers, r.Each(), r.All(), r.Rate(), r.Window()), tls,
			pair(r.Cores, 1, 3), pair(r.Messages, 1, 0), pair(r.Payload, 1e6, 2), pair(r.Memory, 1<<20, 0), fmt.Sprintf("%.0f %%", 100*r.Waited),
		})
	}
	return []string{"load", "TLS", "cores", "messages/s", "MB/s", "memory, MiB", "waited"}, rows
}

// Markdown is the same in Markdown.
func (c *Check) Markdown() string { return contest.MarkdownTable(c.Cells()) }

// ReadFile reads what Write has written.
func ReadFile(name string) (*File, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%w; `go run ./bench calibrate` makes it", err)
	}
	var f File
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &f, nil
}

// Write replaces the file, and makes its folder.
func (f *File) Write(name string) error {
	text, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}
