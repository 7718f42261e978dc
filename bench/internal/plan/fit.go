package plan

import (
	"errors"
	"math"
)

// A Sample is a node's measured work a second, and the cores that it took.
type Sample struct {
	Frames, Ticks, Ingest, Cores float64
}

// ErrSamples reports samples that do not tell the coefficients apart.
var ErrSamples = errors.New("plan: the samples do not tell what a message, a tick and an ingested tick cost")

// Fit finds the coefficients of the CPU by least squares of relative errors: a sample counts
// the same whether it kept a tenth of a core busy or all of it. What would come out below 0,
// as by noise, is 0. FitPercent is the largest error of a sample.
func Fit(samples []Sample) (Coefficients, error) {
	use := [3]bool{true, true, true}
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
		c := Coefficients{FrameUS: x[0] * 1e6, TickNS: x[1] * 1e9, IngestNS: x[2] * 1e9}
		for _, s := range samples {
			c.FitPercent = max(c.FitPercent, math.Abs(c.Off(s)))
		}
		return c, nil
	}
}

// Off is by how many percent the forecast for a sample's work differs from its cores.
func (c *Coefficients) Off(s Sample) float64 {
	forecast := s.Frames*c.FrameUS*1e-6 + s.Ticks*c.TickNS*1e-9 + s.Ingest*c.IngestNS*1e-9
	return 100 * (forecast - s.Cores) / s.Cores
}

// solve solves the normal equations for those coefficients that are used, by elimination.
func solve(samples []Sample, use [3]bool) (x [3]float64, err error) {
	var m [3][4]float64
	for _, s := range samples {
		if !(s.Cores > 0) {
			return x, ErrSamples
		}
		v := [4]float64{s.Frames / s.Cores, s.Ticks / s.Cores, s.Ingest / s.Cores, 1}
		for i := range m {
			for j := range v {
				if use[i] && (j == 3 || use[j]) {
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
			for j, factor := k+1, m[i][k]/m[k][k]; j < 4; j++ {
				m[i][j] -= factor * m[k][j]
			}
			m[i][k] = 0
		}
		if !(m[i][i] > 1e-12*scale) {
			return x, ErrSamples
		}
	}
	for i := 2; i >= 0; i-- {
		x[i] = m[i][3]
		for j := i + 1; j < 3; j++ {
			x[i] -= m[i][j] * x[j]
		}
		x[i] /= m[i][i]
	}
	return x, nil
}
