package plan

import (
	"errors"
	"math"
	"slices"
)

// A Sample is a node's work a second, and what it holds. Cores and Memory are what it took; 0 is
// not measured.
type Sample struct {
	Frames, Ticks, Ingest float64
	TLSFrames, TLSBytes   float64 // those of Frames that were sealed, and their bytes; 0 without TLS
	Connections           float64
	Subscriptions         float64
	Streams, Kept         float64 // symbols that it receives, and events of them that are kept for a resume
	Cores                 float64
	Memory                float64 // resident bytes
}

// terms is how many kinds of work the CPU is the sum of.
const terms = 7

func (s *Sample) work() [terms]float64 {
	// A feed publishes once in its window: a node is woken no more often.
	wakes := min(s.Ingest, 1/feedWindow.Seconds())
	return [terms]float64{s.Frames, s.Ticks, s.Ingest, wakes, s.TLSFrames, s.TLSBytes, s.Connections}
}

// sealed is how many of the connections have TLS: all or none.
func (s *Sample) sealed() (plain, sealed float64) {
	if s.TLSFrames > 0 {
		return 0, s.Connections
	}
	return s.Connections, 0
}

// memory is what a node holds.
func (c *Coefficients) memory(s Sample) float64 {
	plain, sealed := s.sealed()
	return c.BaseBytes + plain*c.ConnBytes + sealed*c.TLSConnBytes + s.Subscriptions*subscriptionBytes +
		s.Streams*c.StreamBytes + min(s.Kept*c.EventBytes, historyBytesMax)
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
var ErrSamples = errors.New("plan: the samples do not tell what a message, an event, an event received, a wake-up, a sealed message, a sealed byte and a connection cost, or what a node, a connection, one with TLS, a symbol and an event kept hold")

// Fit finds the coefficients from samples of nodes with one core, by least squares of relative errors: a sample counts
// the same whether it kept a tenth of a core busy or all of it. FitPercent is the largest error of a sample's CPU.
func Fit(samples []Sample) (Coefficients, error) {
	var cores, memory [][]float64
	for _, s := range samples {
		if s.Cores > 0 {
			work := s.work()
			work[wake] *= 1 - s.Cores
			cores = append(cores, shares(work[:], s.Cores))
		}
		if s.Memory > 0 {
			plain, sealed := s.sealed()
			memory = append(memory, shares([]float64{1, plain, sealed, s.Streams, s.Kept}, s.Memory-s.Subscriptions*subscriptionBytes))
		}
	}
	x, err := least(cores, terms)
	if err != nil {
		return Coefficients{}, err
	}
	m, err := least(memory, 5)
	if err != nil {
		return Coefficients{}, err
	}
	c := Coefficients{
		FrameUS: x[0] * 1e6, TickNS: x[1] * 1e9, IngestNS: x[2] * 1e9, WakeUS: x[3] * 1e6, TLSFrameUS: x[4] * 1e6, TLSByteNS: x[5] * 1e9, ConnUS: x[6] * 1e6,
		BaseBytes: m[0], ConnBytes: m[1], TLSConnBytes: m[2], StreamBytes: m[3], EventBytes: m[4],
	}
	for _, s := range samples {
		if s.Cores > 0 {
			c.FitPercent = max(c.FitPercent, math.Abs(c.Off(s)))
		}
	}
	return c, nil
}

// Off is by how many percent the forecast for a sample's work differs from its cores.
func (c *Coefficients) Off(s Sample) float64 { return 100 * (c.cores(s, 1) - s.Cores) / s.Cores }

// shares is what a sample has of each kind, for each unit that it took.
func shares(of []float64, took float64) []float64 {
	for i := range of {
		of[i] /= took
	}
	return of
}

// least finds n numbers, none below 0, whose sum with each row's as weights is nearest to 1.
func least(rows [][]float64, n int) ([]float64, error) {
	use := slices.Repeat([]bool{true}, n)
	for {
		x, err := solve(rows, use)
		if err != nil {
			return nil, err
		}
		worst := slices.Index(x, slices.Min(x))
		if x[worst] >= 0 {
			return x, nil
		}
		use[worst] = false // as by noise
	}
}

// solve solves the normal equations for those numbers that are used, by elimination.
func solve(rows [][]float64, use []bool) ([]float64, error) {
	n := len(use)
	m := make([][]float64, n) // the equations, what they are equal to in the last column
	for i := range m {
		m[i] = make([]float64, n+1)
		if !use[i] {
			m[i][i] = 1 // x[i] = 0
			continue
		}
		for _, row := range rows {
			for j, v := range row {
				if use[j] {
					m[i][j] += row[i] * v
				}
			}
			m[i][n] += row[i]
		}
	}
	for i := range m {
		scale := m[i][i]
		for k := range i {
			for j, factor := k+1, m[i][k]/m[k][k]; j <= n; j++ {
				m[i][j] -= factor * m[k][j]
			}
			m[i][k] = 0
		}
		if !(m[i][i] > 1e-12*scale) {
			return nil, ErrSamples
		}
	}
	x := make([]float64, n)
	for i := n - 1; i >= 0; i-- {
		x[i] = m[i][n]
		for j := i + 1; j < n; j++ {
			x[i] -= m[i][j] * x[j]
		}
		x[i] /= m[i][i]
	}
	return x, nil
}
