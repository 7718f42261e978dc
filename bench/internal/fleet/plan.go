package fleet

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// A Plan says what each of any number of members is. It is the same for the same Seed,
// whichever process makes a member.
type Plan struct {
	Names      []string // to choose from, at least PerMember
	PerMember  int      // symbols of each
	Pick       string   // one of Picks
	Watchlists int      // how many there are for "watchlists"
	SlowShare  float64  // of the members: 0 to 1
	Slow       []string // paces that slow members have by turns
	Seed       uint64
}

// Picks are the ways in which members choose their symbols.
var Picks = []string{"uniform", "zipf", "fixed", "watchlists", "even", "own"}

var paceNames = map[string]Pace{"paused": Paused, "throttled": Throttled, "stalled": Stalled}

// Validate reports every problem, by the name of the option. The names it leaves to whoever has them.
func (p *Plan) Validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(p.Pick == "watchlists" && p.Watchlists < 1, "--watchlists %d is not above 0", p.Watchlists)
	bad(!(p.SlowShare >= 0 && p.SlowShare <= 1), "--slow %v is not 0 to 1", p.SlowShare)
	bad(p.SlowShare > 0 && len(p.Slow) == 0, "--slow-kind names none")
	for _, name := range p.Slow {
		_, ok := paceNames[name]
		bad(!ok, "--slow-kind: %q is none of paused, throttled, stalled", name)
	}
	return errors.Join(errs...)
}

// Member makes the nth member.
func (p *Plan) Member(n int) Member {
	list := uint64(n)
	if p.Pick == "watchlists" {
		list %= uint64(p.Watchlists)
	}
	var m Member
	if p.Pick == "own" {
		at := n * p.PerMember % (len(p.Names) - p.PerMember + 1)
		m.Symbols = p.Names[at : at+p.PerMember]
	} else {
		m.Symbols = p.symbols(rand.New(rand.NewPCG(p.Seed, list)))
	}
	// The share is spread evenly: after n members, n*SlowShare of them, rounded down, are slow.
	if before, now := math.Floor(float64(n)*p.SlowShare), math.Floor(float64(n+1)*p.SlowShare); now > before {
		m.Pace = paceNames[p.Slow[int(before)%len(p.Slow)]]
	}
	return m
}

func (p *Plan) symbols(rng *rand.Rand) []string {
	all := make([]string, 0, p.PerMember)
	switch p.Pick {
	case "fixed":
		return p.Names[:p.PerMember]
	case "even":
		// One out of each of PerMember equal parts: what happens in turn reaches every
		// member equally often.
		for i := range p.PerMember {
			from, to := i*len(p.Names)/p.PerMember, (i+1)*len(p.Names)/p.PerMember
			all = append(all, p.Names[from+rng.IntN(to-from)])
		}
		return all
	case "zipf":
		for len(all) < p.PerMember {
			if name := p.Names[p.rank(rng)]; !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
		return all
	}
	// Floyd's sample: no permutation of all names for every member.
	for j := len(p.Names) - p.PerMember; j < len(p.Names); j++ {
		name := p.Names[rng.IntN(j+1)]
		if slices.Contains(all, name) {
			name = p.Names[j]
		}
		all = append(all, name)
	}
	return all
}

// rank draws from 0 up, with a density of 1/(r+1).
func (p *Plan) rank(rng *rand.Rand) int {
	n := float64(len(p.Names))
	return min(int(math.Pow(n+1, rng.Float64()))-1, len(p.Names)-1)
}
