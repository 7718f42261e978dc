package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/tickcast/tickcast/bench/internal/fleet"
	"github.com/tickcast/tickcast/bench/internal/host"
	"github.com/tickcast/tickcast/bench/internal/wire"
)

// loadResult is what a load found.
type loadResult struct {
	Stamp          host.Stamp `json:"stamp"`
	Subscribers    int        `json:"subscribers"`
	Ready          int        `json:"ready"` // subscribed before the count began
	Open           int        `json:"open"`  // at its end
	Failed         int64      `json:"failed"`
	LastError      string     `json:"last_error,omitempty"`
	ConnectSeconds float64    `json:"connect_seconds"`

	Warmup  float64 `json:"warmup_seconds"`
	Seconds float64 `json:"seconds"`
	wire.Tally
	WireBytes int64         `json:"wire_bytes"`
	Closes    map[int]int64 `json:"closes"`

	Latency fleet.Percentiles `json:"latency_us"`
	Spread  [][2]float64      `json:"latency_distribution_us"` // pairs of a percentile and µs
	// WorstPause is how long, in us, a healthy subscriber went without a message at the most.
	WorstPause int64             `json:"worst_pause_us"`
	Connect    fleet.Percentiles `json:"connect_us"`
	Subscribe  fleet.Percentiles `json:"subscribe_us"`
	OwnCPU     float64           `json:"own_cpu_seconds"`
	Server     serverCost        `json:"server"`
}

// serverCost is known with --pid.
type serverCost struct {
	CPU          float64 `json:"cpu_seconds"`
	Waited       float64 `json:"waited_seconds"` // was ready to run and had no core
	PerMEvents   float64 `json:"cpu_seconds_per_million_events"`
	PerMMessages float64 `json:"cpu_seconds_per_million_messages"`
	RSS          float64 `json:"rss_bytes"`
	RSSPerConn   float64 `json:"rss_bytes_per_connection"`
}

// take fills in what was seen while counting.
func (r *loadResult) take(total *fleet.Report) {
	r.Tally, r.WireBytes, r.Closes = total.Tally, total.WireBytes, total.Closes
	r.Latency, r.Spread, r.WorstPause = total.Latency.Percentiles(), total.Latency.Distribution(), total.WorstPause
	r.Failed += total.Failed
	if total.LastError != "" {
		r.LastError = total.LastError
	}
}

// finish works out what follows from the rest.
func (r *loadResult) finish() {
	if r.Events > 0 && r.Messages > 0 {
		r.Server.PerMEvents = r.Server.CPU / float64(r.Events) * 1e6
		r.Server.PerMMessages = r.Server.CPU / float64(r.Messages) * 1e6
	}
}

func (r *loadResult) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { _, _ = fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	per := func(n int64) float64 { return float64(n) / r.Seconds }
	us := func(p fleet.Percentiles) string {
		return fmt.Sprintf("p50 %d  p90 %d  p99 %d  p99.9 %d  max %d", p.P50, p.P90, p.P99, p.P999, p.Max)
	}
	row("connections", "%d asked for, %d subscribed in %.1f s, %d open at the end, %s", r.Subscribers, r.Ready, r.ConnectSeconds, r.Open, failures(r.Failed, r.LastError))
	row("counted for", "%.2f s", r.Seconds)
	row("events", "%d, %.0f/s", r.Events, per(r.Events))
	row("messages", "%d, %.0f/s, %.1f events in each", r.Messages, per(r.Messages), float64(r.Events)/float64(max(1, r.Messages)))
	row("bytes", "%.1f MB, %.1f MB/s, %.1f MB/s on the wire", float64(r.Bytes)/1e6, per(r.Bytes)/1e6, per(r.WireBytes)/1e6)
	row("latency us", "%s", us(r.Latency))
	row("worst pause", "%d us without a message", r.WorstPause)
	row("connect us", "%s", us(r.Connect))
	row("subscribe us", "%s", us(r.Subscribe))
	row("gaps, dropped", "%d, %d", r.Gaps, r.Missed)
	row("errors, malformed", "%d, %d", r.Errors, r.Malformed)
	row("closed, by code", "%s", codes(r.Closes))
	row("own CPU", "%.2f s, %.0f %% of a core", r.OwnCPU, 100*r.OwnCPU/r.Seconds)
	if r.Server.CPU > 0 {
		row("server CPU", "%.2f s, %.0f %% of a core; waited for one %.2f s", r.Server.CPU, 100*r.Server.CPU/r.Seconds, r.Server.Waited)
		row("  per million", "%.3f s of events, %.3f s of messages", r.Server.PerMEvents, r.Server.PerMMessages)
		row("server memory", "%.0f bytes a connection", r.Server.RSSPerConn)
	}
	_ = w.Flush()
}

// failures counts connections that could not be had, and tells why the last could not.
func failures(n int64, last string) string {
	if last == "" {
		return fmt.Sprintf("%d failed", n)
	}
	return fmt.Sprintf("%d failed: %s", n, last)
}

func codes(closes map[int]int64) string {
	if len(closes) == 0 {
		return "none"
	}
	var all []string
	for _, code := range slices.Sorted(maps.Keys(closes)) {
		all = append(all, fmt.Sprintf("%d: %d", code, closes[code]))
	}
	return strings.Join(all, "  ")
}

// An hdrLog writes a histogram a second; one without a file writes none.
type hdrLog struct {
	file *os.File
	w    *hdrhistogram.HistogramLogWriter
	from time.Time
	sum  fleet.Hist
	err  error
}

func newHDRLog(name string) (*hdrLog, error) {
	if name == "" {
		return &hdrLog{}, nil
	}
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	l := &hdrLog{file: file, w: hdrhistogram.NewHistogramLogWriter(file), from: time.Now(), sum: fleet.NewHist()}
	for _, err := range []error{
		l.w.OutputComment("latency in microseconds"), l.w.OutputLogFormatVersion(), l.w.OutputStartTime(l.from.UnixMilli()), l.w.OutputLegend(),
	} {
		l.note(err)
	}
	return l, nil
}

func (l *hdrLog) note(err error) {
	if l.err == nil {
		l.err = err
	}
}

func (l *hdrLog) add(r *fleet.Report) {
	if l.file == nil {
		return
	}
	l.sum.Merge(r.Latency.Histogram)
	if time.Since(l.from) >= tellEvery {
		l.write()
	}
}

func (l *hdrLog) write() {
	now := time.Now()
	l.sum.SetStartTimeMs(l.from.UnixMilli())
	l.sum.SetEndTimeMs(now.UnixMilli())
	l.note(l.w.OutputIntervalHistogram(l.sum.Histogram))
	l.from, l.sum = now, fleet.NewHist()
}

func (l *hdrLog) close() {
	if l.file != nil {
		if l.sum.TotalCount() > 0 {
			l.write()
		}
		l.note(l.file.Close())
	}
}
