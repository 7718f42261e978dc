package plan

import (
	"errors"
	"math"
)

// A Sample is a node's work a second. Cores is what it took, where it was measured.
type Sample struct {
	Frames, Ticks, Ingest float64
	TLSFrames, TLSBytes   float64 // those of Frames that were sealed, and their bytes; 0 without TLS
	Connections           float64
	Cores                 float64
}

// terms is how many kinds of work the CPU is the sum of.
const terms = 7

func (s *Sample) work() [terms]float64 {
	// A feed publishes once in its window: a node is woken no more often.
	wakes := min(s.Ingest, 1/feedWindow.Seconds())
	return [terms]float64{s.Frames, s.Ticks, s.Ingest, wakes, s.TLSFrames, s.TLSBytes, s.Connections}
}

// seconds is what each kind of work takes.
func (c *Coefficients) seconds() [terms]float64 {
	return [terms]float64{c.FrameUS * 1e-6, c.TickNS * 1e-9, c.IngestNS * 1e-9, c.WakeUS * 1e-6, c.TLSFrameUS * 1e-6, c.TLSByteNS * 1e-9, c.ConnUS * 1e-6}
}

// wake is the wake-ups among the terms.
const wake = 3

// cores is what a sample's work should take of a node with so many cores. A node that is awake
// need not be woken: it is for the share of its time in which it sleeps,
// cores = work + wakes (1 - cores / all).
func (c *Coefficients) cores(s Sample, all int) (sum float64) {
	work, each := s.work(), c.seconds()
	for i := range work {
		sum += each[i] * work[i]
	}
	return sum / (1 + each[wake]*work[wake]/float64(all))
}

// ErrSamples reports samples that do not tell the coefficients apart.
var ErrSamples = errors.New("plan: the samples do not tell what a message, an event, an event received, a wake-up, a sealed message, a sealed byte and a connection cost")

// Fit finds the coefficients of the CPU from samples of nodes with one core, by least squares of relative errors: a sample counts
// the same whether it kept a tenth of a core busy or all of it. What would come out below 0,
// as by noise, is 0. FitPercent is the largest error of a sample.
func Fit(samples []Sample) (Coefficients, error) {
	use := [terms]bool{true, true, true, true, true, true, true}
	for {
		x, err := solve(samples, use)
		if err != nil {
			return Coefficients{}, err
		}
		negative := -1
		for i := range x {
			if x[i] < 0 && (negative < 0 || x[i] < x[negative]) {
				negative = i
			}
		}
		if negative >= 0 {
			use[negative] = false
			continue
		}
		c := Coefficients{FrameUS: x[0] * 1e6, TickNS: x[1] * 1e9, IngestNS: x[2] * 1e9, WakeUS: x[3] * 1e6, TLSFrameUS: x[4] * 1e6, TLSByteNS: x[5] * 1e9, ConnUS: x[6] * 1e6}
		for _, s := range samples {
			c.FitPercent = max(c.FitPercent, math.Abs(c.Off(s)))
		}
		return c, nil
	}
}

// Off is by how many percent the forecast for a sample's work differs from its cores.
func (c *Coefficients) Off(s Sample) float64 { return 100 * (c.cores(s, 1) - s.Cores) / s.Cores }

// solve solves the normal equations for those coefficients that are used, by elimination.
func solve(samples []Sample, use [terms]bool) (x [terms]float64, err error) {
	var m [terms][terms + 1]float64
	for _, s := range samples {
		if !(s.Cores > 0) {
			return x, ErrSamples
		}
		var v [terms + 1]float64
		for i, w := range s.work() {
			v[i] = w / s.Cores
		}
		v[wake] *= 1 - s.Cores
		v[terms] = 1
		for i := range m {
			for j := range v {
				if use[i] && (j == terms || use[j]) {
					m[i][j] += v[i] * v[j]
				}
			}
		}
	}
	for i := range m {
		if !use[i] {
			m[i][i] = 1 // x[i] = 0
			continue
		}
		scale := m[i][i]
		for k := range i {
			for j, factor := k+1, m[i][k]/m[k][k]; j <= terms; j++ {
				m[i][j] -= factor * m[k][j]
			}
			m[i][k] = 0
		}
		if !(m[i][i] > 1e-12*scale) {
			return x, ErrSamples
		}
	}
	for i := terms - 1; i >= 0; i-- {
		x[i] = m[i][terms]
		for j := i + 1; j < terms; j++ {
			x[i] -= m[i][j] * x[j]
		}
		x[i] /= m[i][i]
	}
	return x, nil
}
