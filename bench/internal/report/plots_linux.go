package report

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"github.com/tickcast/tickcast/bench/internal/contest"
)

// charts of a contest, in the order of the page.
func (c *Contest) charts() []*chart {
	all := c.costs()
	all = append(all, c.ratios(), c.throughput(), c.latency(), c.memory(),
		c.growth("connections", "subscribers", func(r *contest.Cell) *int { return &r.Subscribers }),
		c.growth("symbols", "symbols of each subscriber", func(r *contest.Cell) *int { return &r.PerMember }),
		c.growth("market", "symbols in all", func(r *contest.Cell) *int { return &r.Market }),
	)
	return slices.DeleteFunc(all, func(ch *chart) bool { return ch == nil || len(ch.lines)+len(ch.bars) == 0 })
}

// cells are those of the rows, in order.
func (c *Contest) cells() (all []contest.Cell) {
	for i := range c.Rows {
		if !slices.Contains(all, c.Rows[i].Cell) {
			all = append(all, c.Rows[i].Cell)
		}
	}
	return all
}

// of returns a server's row in a cell, or nil.
func (c *Contest) of(server string, cell contest.Cell) *contest.Row {
	for i := range c.Rows {
		if c.Rows[i].Server == server && c.Rows[i].Cell == cell {
			return &c.Rows[i]
		}
	}
	return nil
}

// costs are the CPU of a tick over the ticks in a message, a chart for each number of
// subscribers and symbols.
func (c *Contest) costs() (all []*chart) {
	families := make(map[contest.Cell][]contest.Cell)
	var order []contest.Cell
	for _, cell := range c.cells() {
		family := cell
		family.Ticks = 0
		if families[family] == nil {
			order = append(order, family)
		}
		families[family] = append(families[family], cell)
	}
	for _, family := range order {
		if len(families[family]) < 2 {
			continue
		}
		ch := &chart{
			name:  fmt.Sprintf("cpu-%d-%d-%d", family.Subscribers, family.Each(), family.All()),
			title: fmt.Sprintf("CPU of a delivered tick, %d subscribers of %d of %d symbols", family.Subscribers, family.Each(), family.All()),
			x:     axis{label: "ticks in a message", log: true}, y: axis{label: "ns a tick", log: true},
		}
		for _, server := range c.Order() {
			var points plotter.XYs
			for _, cell := range families[family] {
				if r := c.of(server, cell); r != nil && r.PerTickNS.Median > 0 {
					points = append(points, plotter.XY{X: r.TicksPerMessage.Median, Y: r.PerTickNS.Median})
				}
			}
			ch.add(server, points)
		}
		all = append(all, ch)
	}
	return all
}

func (ch *chart) add(name string, points plotter.XYs) {
	if len(points) > 0 {
		ch.lines = append(ch.lines, line{name, points})
	}
}

// byCell makes bars: a group for each cell, a bar for each server. Cells with other symbols
// than the first are left to growth.
func (c *Contest) byCell(ch *chart, skip string, value func(*contest.Row) contest.Spread) *chart {
	cells := c.cells()
	cells = slices.DeleteFunc(cells, func(cell contest.Cell) bool {
		return cell.Each() != cells[0].Each() || cell.All() != cells[0].All()
	})
	for _, cell := range cells {
		ch.group = append(ch.group, fmt.Sprintf("%d\nx %d", cell.Subscribers, cell.Ticks))
	}
	ch.x.label = "subscribers x ticks in a message"
	for _, server := range c.Order() {
		if server == skip {
			continue
		}
		b, any := bars{server: server}, false
		for _, cell := range cells {
			s := contest.Spread{Median: math.NaN()}
			if r := c.of(server, cell); r != nil && value(r).Median > 0 {
				s, any = value(r), true
			}
			b.value, b.low, b.high = append(b.value, s.Median), append(b.low, s.Min), append(b.high, s.Max)
		}
		if any {
			ch.bars = append(ch.bars, b)
		}
	}
	return ch
}

func (c *Contest) ratios() *chart {
	ch := &chart{
		name: "to-floor", title: "CPU of a delivered tick against the bare epoll loop's", y: axis{label: "times the floor (dashed: 1 and 1.3)"},
		marks: []float64{1, 1.3},
	}
	return c.byCell(ch, contest.Floor, func(r *contest.Row) contest.Spread { return r.ToFloor })
}

func (c *Contest) throughput() *chart {
	ch := &chart{name: "throughput", title: "Messages of its size that one core has the time to send", y: axis{label: "thousand messages a second"}}
	return c.byCell(ch, "", func(r *contest.Row) contest.Spread {
		p := r.PerMessageUS
		if p.Min <= 0 {
			return contest.Spread{}
		}
		return contest.Spread{Median: 1e3 / p.Median, Min: 1e3 / p.Max, Max: 1e3 / p.Min}
	})
}

func (c *Contest) memory() *chart {
	ch := &chart{name: "memory", title: "Resident memory of a connection under load", y: axis{label: "KiB"}}
	return c.byCell(ch, "", func(r *contest.Row) contest.Spread {
		p := r.RSSPerConnection
		return contest.Spread{Median: p.Median / 1024, Min: p.Min / 1024, Max: p.Max / 1024}
	})
}

// middle picks the one that stands in the middle of those that there are.
func middle[T cmp.Ordered](set map[T]bool) T {
	all := slices.Sorted(maps.Keys(set))
	return all[len(all)/2]
}

// latency is of one cell: of the most subscribers, in the middle of the ticks.
func (c *Contest) latency() *chart {
	most, ticks := 0, map[int]bool{}
	for i := range c.Rows {
		if len(c.Rows[i].Latency) > 0 {
			most = max(most, c.Rows[i].Subscribers)
			ticks[c.Rows[i].Ticks] = true
		}
	}
	if most == 0 {
		return nil
	}
	at := middle(ticks)
	ch := latencies("latency", "")
	for i := range c.Rows {
		r := &c.Rows[i]
		if r.Subscribers == most && r.Ticks == at && !slices.ContainsFunc(ch.lines, func(l line) bool { return l.server == r.Server }) {
			ch.title = fmt.Sprintf("Age of a message's first tick, %d subscribers x %d ticks", most, at)
			ch.x.label = fmt.Sprintf("percentile; the window is %s", r.Window())
			ch.add(r.Server, nines(r.Latency))
		}
	}
	return ch
}

// latencies is a chart of percentiles: on its x axis each further nine is as wide as the
// one before.
func latencies(name, title string) *chart {
	ch := &chart{name: name, title: title, x: axis{label: "percentile", log: true}, y: axis{label: "ms", log: true}}
	for _, p := range []float64{0, 50, 90, 99, 99.9, 99.99} {
		ch.x.ticks = append(ch.x.ticks, plot.Tick{Value: 100 / (100 - p), Label: fmt.Sprint(p)})
	}
	return ch
}

func nines(distribution [][2]float64) (points plotter.XYs) {
	for _, d := range distribution {
		if d[0] < 100 && d[1] > 0 {
			points = append(points, plotter.XY{X: 100 / (100 - d[0]), Y: d[1] / 1000})
		}
	}
	return points
}

// growth is the CPU of a message over one thing that cells differ in, all else being the
// same as in the middle.
func (c *Contest) growth(name, label string, of func(*contest.Cell) *int) *chart {
	rest := make(map[contest.Cell]map[int]bool)
	for _, cell := range c.cells() {
		v := *of(&cell)
		*of(&cell) = 0
		if rest[cell] == nil {
			rest[cell] = map[int]bool{}
		}
		rest[cell][v] = true
	}
	var families []contest.Cell
	for cell, values := range rest {
		if len(values) > 1 {
			families = append(families, cell)
		}
	}
	if len(families) == 0 {
		return nil
	}
	slices.SortFunc(families, func(a, b contest.Cell) int {
		return cmp.Or(a.Ticks-b.Ticks, a.Subscribers-b.Subscribers, a.PerMember-b.PerMember, a.Market-b.Market)
	})
	family := families[len(families)/2]
	ch := &chart{
		name: "growth-" + name, title: fmt.Sprintf("CPU of a message as %s grow, %d ticks a message", name, family.Ticks),
		x: axis{label: label, log: true}, y: axis{label: "us a message"},
	}
	if name == "market" {
		ch.title = fmt.Sprintf("CPU of a message as the market grows, %d ticks a message", family.Ticks)
	}
	for _, server := range c.Order() {
		var points plotter.XYs
		for _, v := range slices.Sorted(maps.Keys(rest[family])) {
			cell := family
			*of(&cell) = v
			if r := c.of(server, cell); r != nil {
				points = append(points, plotter.XY{X: float64(v), Y: r.PerMessageUS.Median})
			}
		}
		ch.add(server, points)
	}
	for v := range rest[family] {
		ch.x.ticks = append(ch.x.ticks, plot.Tick{Value: float64(v), Label: fmt.Sprint(v)})
	}
	return ch
}

// charts of all loads: one that has no latencies, or no server's CPU, is left out of that.
func loadCharts(loads []Load) (all []*chart) {
	latency := latencies("load-latency", "Age of a message's first event")
	growth := &chart{
		name: "load-growth", title: "The server's CPU of a message as connections grow",
		x: axis{label: "subscribers", log: true}, y: axis{label: "us a message"},
	}
	var points plotter.XYs
	for i := range loads {
		l := &loads[i]
		latency.add(l.Name, nines(l.Distribution))
		if l.Server.CPU > 0 && l.Messages > 0 {
			points = append(points, plotter.XY{X: float64(l.Subscribers), Y: l.Server.CPU / float64(l.Messages) * 1e6})
			growth.x.ticks = append(growth.x.ticks, plot.Tick{Value: float64(l.Subscribers), Label: fmt.Sprint(l.Subscribers)})
		}
	}
	if len(latency.lines) > 0 {
		all = append(all, latency)
	}
	slices.SortFunc(points, func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
	if len(points) > 1 && points[0].X < points[len(points)-1].X {
		growth.add("server", points)
		all = append(all, growth)
	}
	return all
}

// chart of a plan's check: what was forecast beside what was measured.
func (p *Plan) chart() *chart {
	if p.Check == nil || len(p.Check.Rows) == 0 {
		return nil
	}
	forecast, measured := bars{server: "forecast"}, bars{server: "measured"}
	ch := &chart{name: "plan-" + p.Name, title: "Cores that a load keeps busy", x: axis{label: "subscribers x ticks in a message"}, y: axis{label: "cores"}}
	for _, r := range p.Check.Rows {
		label := fmt.Sprintf("%d\nx %d", r.Subscribers, r.Ticks)
		if r.TLS {
			label += " TLS"
		}
		ch.group = append(ch.group, label)
		forecast.value, measured.value = append(forecast.value, r.Cores.Forecast), append(measured.value, r.Cores.Measured)
	}
	ch.bars = []bars{forecast, measured}
	return ch
}

var prolog = regexp.MustCompile(`(?s)^.*?<svg`)

// tidy makes what vgsvg writes fit into a page: without an XML declaration, and with fonts
// that there are.
func tidy(svg []byte) []byte {
	svg = prolog.ReplaceAll(svg, []byte("<svg"))
	return bytes.ReplaceAll(svg, []byte("font-family:Liberation Sans"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif"))
}

// fileName makes the name of a plot's file.
func fileName(result string, ch *chart) string {
	return strings.ReplaceAll(result+"-"+ch.name, "/", "-") + ".svg"
}
