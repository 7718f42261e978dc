package fleet

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("S%04d", i)
	}
	return all
}

// Every member has the number of symbols asked for, none twice, and is the same when another
// process makes it; after any number of members the share of slow ones is as asked.
func TestMembersAreAsPlanned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "names")
		p := Plan{
			Names: names(n), PerMember: rapid.IntRange(1, min(n, 20)).Draw(t, "each"), Pick: rapid.SampledFrom(Picks).Draw(t, "pick"),
			Watchlists: rapid.IntRange(1, 5).Draw(t, "lists"), SlowShare: rapid.Float64Range(0, 1).Draw(t, "slow"),
			Slow: []string{"stalled", "paused"}, Seed: rapid.Uint64().Draw(t, "seed"),
		}
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		members := rapid.IntRange(1, 50).Draw(t, "members")
		slow := 0
		lists := map[string]bool{}
		for i := range members {
			m := p.Member(i)
			again := p.Member(i)
			if !slices.Equal(m.Symbols, again.Symbols) || m.Pace != again.Pace {
				t.Fatalf("member %d is %v, then %v", i, m, again)
			}
			if m.Pace != Healthy {
				slow++
			}
			sorted := slices.Sorted(slices.Values(m.Symbols))
			if len(slices.Compact(sorted)) != p.PerMember {
				t.Fatalf("member %d of %q has %v, want %d symbols", i, p.Pick, m.Symbols, p.PerMember)
			}
			lists[fmt.Sprint(m.Symbols)] = true
		}
		if want := int(float64(members) * p.SlowShare); slow != want {
			t.Errorf("%d of %d are slow, want %d", slow, members, want)
		}
		if p.Pick == "watchlists" && len(lists) > p.Watchlists {
			t.Errorf("%d lists, want %d", len(lists), p.Watchlists)
		}
	})
}

func TestWrongPlansAreRefused(t *testing.T) {
	for _, p := range []Plan{
		{Names: names(3), PerMember: 1, Pick: "watchlists"},
		{Names: names(3), PerMember: 1, SlowShare: 2, Slow: []string{"stalled"}},
		{Names: names(3), PerMember: 1, SlowShare: 1},
		{Names: names(3), PerMember: 1, SlowShare: 1, Slow: []string{"sleepy"}},
	} {
		if p.Validate() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
}
