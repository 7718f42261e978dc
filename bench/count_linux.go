package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tickcast/tickcast/bench/internal/fleet"
	"github.com/tickcast/tickcast/bench/internal/host"
)

// connect waits until every share has opened its connections.
func (ss *shares) connect(ctx context.Context, r *loadResult) error {
	start := time.Now()
	total := fleet.NewReport()
	progress := newProgress()
	for ready := 0; ready < ss.all; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case n := <-ss.news:
			if n.Err != "" {
				return errors.New(n.Err)
			}
			total.Add(&n.Report)
			if n.Phase == "ready" {
				ready++
				r.Ready += n.Ready
			}
			progress.add(&n)
		}
	}
	r.Connect, r.Subscribe = total.Connect.Percentiles(), total.Subscribe.Percentiles()
	r.ConnectSeconds = time.Since(start).Seconds()
	r.Failed, r.LastError = total.Failed, total.LastError
	if r.Ready == 0 {
		return fmt.Errorf("no subscriber got an answer; the last error: %s", total.LastError)
	}
	return nil
}

// count lets the shares count, and adds up.
func (ss *shares) count(ctx context.Context, l *load, r *loadResult, log *hdrLog) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(l.Warmup):
	}
	cpu, waited, err := serverTimes(l.PID)
	if err != nil {
		return err
	}
	for _, begin := range ss.begin {
		if err := begin(); err != nil {
			return err
		}
	}
	start := time.Now()
	progress := newProgress()
	total := fleet.NewReport()
	for done := 0; done < ss.all; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case n := <-ss.news:
			if n.Err != "" {
				return errors.New(n.Err)
			}
			if n.Phase == "done" {
				done++
				r.Open += n.Open
			}
			r.OwnCPU += n.CPU
			total.Add(&n.Report)
			log.add(&n.Report)
			progress.add(&n)
		}
	}
	r.Seconds = time.Since(start).Seconds()
	cpuAfter, waitedAfter, err := serverTimes(l.PID)
	r.Server.CPU, r.Server.Waited = (cpuAfter - cpu).Seconds(), (waitedAfter - waited).Seconds()
	r.take(&total)
	return err
}

func serverTimes(pid int) (cpu, waited time.Duration, err error) {
	if pid == 0 {
		return 0, 0, nil
	}
	if cpu, err = host.CPU(pid); err == nil {
		waited, err = host.Waited(pid)
	}
	return cpu, waited, err
}

// A progress prints a line a second of what all shares tell.
type progress struct {
	last time.Time
	sum  fleet.Report
	open map[int]int // by share
}

func newProgress() *progress {
	return &progress{last: time.Now(), sum: fleet.NewReport(), open: make(map[int]int)}
}

func (p *progress) add(n *news) {
	p.sum.Add(&n.Report)
	p.open[n.first] = n.Open
	now := time.Now()
	if over := now.Sub(p.last).Seconds(); over >= 0.95 {
		open := 0
		for _, k := range p.open {
			open += k
		}
		q := p.sum.Latency.Percentiles()
		fmt.Fprintf(os.Stderr, "%s  open %d  %.0f events/s  %.0f messages/s  %.1f MB/s  p50 %d us  p99 %d us  max %d us  gaps %d  failed %d\n",
			n.Phase, open, float64(p.sum.Events)/over, float64(p.sum.Messages)/over, float64(p.sum.WireBytes)/over/1e6, q.P50, q.P99, q.Max, p.sum.Gaps, p.sum.Failed)
		p.last, p.sum = now, fleet.NewReport()
	}
}
