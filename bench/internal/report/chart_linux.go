package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A chart is a plot in the making. Series are given in order, and have one colour each
// in all charts.
type chart struct {
	name  string // of its file
	title string
	x, y  axis
	lines []line
	bars  []bars
	group []string  // of the bars, along x
	marks []float64 // levels of y that values are held against
}

type axis struct {
	label string
	log   bool
	ticks []plot.Tick // nil: as they come
}

type line struct {
	server string
	points plotter.XYs
}

// bars are one server's, one for each group; NaN for none. low and high are the ends of the
// whisker.
type bars struct {
	server           string
	value, low, high []float64
}

// colours can be told apart by who cannot tell red from green.
var colours = map[string]color.RGBA{
	"floor":              {0x80, 0x80, 0x80, 0xff},
	"tickcast-epoll":     {0x00, 0x5f, 0xa8, 0xff},
	"tickcast-goroutine": {0x6c, 0xb8, 0xe8, 0xff},
	"gws":                {0xd5, 0x5e, 0x00, 0xff},
	"gws-broadcast":      {0xf0, 0xb0, 0x40, 0xff},
	"gobwas":             {0x00, 0x9e, 0x73, 0xff},
	"coder":              {0xcc, 0x79, 0xa7, 0xff},
	"nats-server":        {0x33, 0x33, 0x33, 0xff},
}

// others are for series that are no server: loads, forecasts.
var others = []string{"tickcast-epoll", "gws", "gobwas", "coder", "gws-broadcast", "tickcast-goroutine", "nats-server", "floor"}

func colour(name string, nth int) color.RGBA {
	if c, ok := colours[name]; ok {
		return c
	}
	return colours[others[nth%len(others)]]
}

const (
	chartWidth  = 7.5 * vg.Inch
	chartHeight = 3.6 * vg.Inch
)

var (
	sans  = font.Font{Typeface: "Liberation", Variant: "Sans"}
	faint = color.Gray{Y: 0xe0}
)

// svg draws the chart.
func (c *chart) svg() ([]byte, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.title, c.x.label, c.y.label
	p.Title.Padding = vg.Points(8)
	p.Legend.Top, p.Legend.Left = false, false
	for style, size := range map[*text.Style]vg.Length{
		&p.Title.TextStyle: 12, &p.X.Label.TextStyle: 10, &p.Y.Label.TextStyle: 10,
		&p.X.Tick.Label: 9, &p.Y.Tick.Label: 9, &p.Legend.TextStyle: 9,
	} {
		style.Font = sans
		style.Font.Size = size
	}
	p.X.Padding, p.Y.Padding = 0, 0
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = nil, faint
	p.Add(grid)
	names, err := c.draw(p)
	if err != nil {
		return nil, err
	}
	c.frame(p)
	legend := plot.NewLegend()
	legend.TextStyle, legend.Left, legend.Top = p.Legend.TextStyle, true, true
	legend.ThumbnailWidth, legend.Padding = vg.Points(14), vg.Points(3)
	for i, name := range names {
		legend.Add(name, swatch{colour(name, i)})
	}
	canvas := vgsvg.New(chartWidth, chartHeight)
	dc := draw.New(canvas)
	const beside = 1.5 * vg.Inch // the legend has the right edge for itself, where it hides nothing
	p.Draw(draw.Crop(dc, 0, -beside, 0, 0))
	legend.Draw(draw.Crop(dc, chartWidth-beside+vg.Points(8), 0, 0, -vg.Points(24)))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, err
	}
	return tidy(out.Bytes()), nil
}

// draw adds the series and returns their names.
func (c *chart) draw(p *plot.Plot) (names []string, err error) {
	for i, l := range c.lines {
		names = append(names, l.server)
		drawn, points, err := plotter.NewLinePoints(l.points)
		if err != nil {
			return nil, fmt.Errorf("report: %s, %s: %w", c.name, l.server, err)
		}
		drawn.Color, drawn.Width = colour(l.server, i), vg.Points(1.8)
		points.Color, points.Shape, points.Radius = drawn.Color, draw.CircleGlyph{}, vg.Points(2.4)
		p.Add(drawn, points)
	}
	width := vg.Points(min(22, 300/float64(max(1, len(c.bars)*len(c.group)))))
	for i, b := range c.bars {
		names = append(names, b.server)
		values := slices.Clone(b.value)
		for k, v := range values {
			if math.IsNaN(v) {
				values[k] = 0
			}
		}
		drawn, err := plotter.NewBarChart(plotter.Values(values), width)
		if err != nil {
			return nil, fmt.Errorf("report: %s, %s: %w", c.name, b.server, err)
		}
		drawn.Color, drawn.LineStyle.Width = colour(b.server, i), 0
		drawn.Offset = width * vg.Length(float64(i)-float64(len(c.bars)-1)/2)
		p.Add(drawn, whiskers{b, drawn.Offset})
	}
	return names, nil
}

// frame sets the ends of the axes, their ticks, and the marks, which are as wide as x is.
func (c *chart) frame(p *plot.Plot) {
	for _, a := range []struct {
		from *plot.Axis
		axis
	}{{&p.X, c.x}, {&p.Y, c.y}} {
		a.from.Tick.Marker = steps{}
		if a.log {
			a.from.Scale = plot.LogScale{}
			a.from.Tick.Marker = decades{}
			a.from.Min, a.from.Max = a.from.Min/1.15, a.from.Max*1.15
		}
		if a.ticks != nil {
			a.from.Tick.Marker = plot.ConstantTicks(a.ticks)
		}
	}
	for _, m := range c.marks {
		p.Y.Max = max(p.Y.Max, m)
	}
	if !c.y.log {
		p.Y.Min = 0
		p.Y.Max *= 1.05
	}
	if len(c.group) > 0 {
		p.NominalX(c.group...)
		p.X.Min, p.X.Max = -0.6, float64(len(c.group))-0.4
	}
	for _, m := range c.marks {
		across := plotter.NewFunction(func(float64) float64 { return m })
		across.Samples, across.XMin, across.XMax = 2, p.X.Min, p.X.Max
		across.Dashes, across.Color = []vg.Length{vg.Points(4), vg.Points(3)}, color.Black
		p.Add(across)
	}
}

// steps labels some five round numbers.
type steps struct{}

func (steps) Ticks(low, high float64) (all []plot.Tick) {
	step := math.Pow(10, math.Floor(math.Log10(high-low)))
	for _, finer := range []float64{2, 2.5, 2} { // 5, 2 and 1 of the decade below
		if (high-low)/step >= 4 {
			break
		}
		step /= finer
	}
	for n := math.Ceil(low / step); n*step <= high; n++ {
		all = append(all, plot.Tick{Value: n * step, Label: strconv.FormatFloat(n*step, 'g', 6, 64)})
	}
	return all
}

// decades labels 1, 2 and 5 of each decade.
type decades struct{}

func (decades) Ticks(low, high float64) (all []plot.Tick) {
	for d := math.Pow(10, math.Floor(math.Log10(low))); d <= high; d *= 10 {
		for i := range 9 {
			v := d * float64(i+1)
			if v < low || v > high {
				continue
			}
			t := plot.Tick{Value: v}
			if i == 0 || i == 1 || i == 4 {
				t.Label = strconv.FormatFloat(v, 'f', -1, 64)
			}
			all = append(all, t)
		}
	}
	return all
}

// whiskers go from the least to the most of each bar.
type whiskers struct {
	bars
	offset vg.Length
}

// Plot implements plot.Plotter.
func (w whiskers) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	style := draw.LineStyle{Color: color.Black, Width: vg.Points(0.8)}
	for i := range w.low {
		if w.high[i] > w.low[i] {
			at := x(float64(i)) + w.offset
			c.StrokeLine2(style, at, y(w.low[i]), at, y(w.high[i]))
		}
	}
}

// DataRange implements plot.DataRanger.
func (w whiskers) DataRange() (xmin, xmax, ymin, ymax float64) {
	for _, v := range w.high {
		ymax = max(ymax, v)
	}
	return 0, max(0, float64(len(w.value)-1)), 0, ymax
}

// A swatch stands for a series in the legend.
type swatch struct{ color.RGBA }

// Thumbnail implements plot.Thumbnailer.
func (s swatch) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(s.RGBA, c.ClipPolygonXY([]vg.Point{c.Min, {X: c.Min.X, Y: c.Max.Y}, c.Max, {X: c.Max.X, Y: c.Min.Y}}))
}
