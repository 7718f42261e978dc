package contest

import (
	"strings"
	"testing"
)

// Each repeat is compared with the floor's of the same repeat, so that a machine which slows
// down for both does not show in the ratio.
func TestRatiosAreOfTheSameRepeat(t *testing.T) {
	cell := Cell{Subscribers: 10, Ticks: 2, FramesPerSecond: 100}
	runs := func(cpu ...float64) (all []Run) {
		for _, c := range cpu {
			all = append(all, Run{Messages: 100, Ticks: 200, Seconds: 1, ServerCPU: c, Ready: 10, Open: 9, Missed: 1})
		}
		return all
	}
	rows := Summarize([]Rows{{cell, "other", runs(2, 4, 20)}, {cell, Floor, runs(1, 2, 10)}, {cell, GWS, runs(4, 4, 10)}})
	if got, want := rows[0].ToFloor, (Spread{2, 2, 2}); got != want {
		t.Errorf("ratio %v, want %v", got, want)
	}
	if got, want := rows[0].ToGWS, (Spread{1, 0.5, 2}); got != want {
		t.Errorf("ratio to gws %v, want %v", got, want)
	}
	if rows[0].PerTickNS.Median != 4.0/200*1e9 || rows[0].Lost != 3 || rows[0].Missed != 3 {
		t.Errorf("%+v", rows[0])
	}
	page := (&Result{Rows: rows, Servers: map[string]string{"other": "serves"}}).Page("x")
	for _, want := range []string{"| 2.00 (2.00-2.00) | 1.00 (0.50-2.00) |", "- other: serves\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in\n%s", want, page)
		}
	}
}

func TestCellsSetWindowAndRate(t *testing.T) {
	c := Cell{Subscribers: 1000, Ticks: 50, FramesPerSecond: 50_000}
	if c.Window().Milliseconds() != 20 || c.Rate() != 25_000 {
		t.Errorf("window %v, rate %v", c.Window(), c.Rate())
	}
}
