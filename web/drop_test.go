//go:build browser

package web_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The busiest symbol of the demo's feed.
const busiest = "BTC/USD"

// A sale is a line of time and sales: the seqs that it stands for, and the price as it is shown.
type sale struct {
	ID, From, To int64
	Kind, Price  string
}

// A follower looks at the trades of one symbol on the page over the loss of a connection, and has
// them from a listener of its own.
type follower struct {
	tab  *tab
	tape *tape
	seen map[int64]sale // by first seq
}

// follow returns when the page has shown some trades.
func follow(t *testing.T, tab *tab, addr string) *follower {
	t.Helper()
	f := &follower{tab: tab, tape: listen(t, addr, []string{busiest}), seen: make(map[int64]sale)}
	tab.keys(t, "#query", busiest+"\r")
	tab.waitForText(t, "#name", is(busiest))
	eventually(t, "trades before", func() bool { return f.look(t) > 20 })
	return f
}

func (f *follower) look(t *testing.T) int {
	t.Helper()
	for _, s := range eval[[]sale](t, f.tab, `[...document.querySelectorAll("#sales tr")].map((tr) => {
		const { id, from, to, kind } = tr.dataset;
		return { ID: Number(id), From: Number(from), To: Number(to), Kind: kind, Price: tr.cells[2].textContent };
	})`) {
		if had, ok := f.seen[s.From]; ok && had.ID != s.ID {
			t.Errorf("%v comes again as %v", had, s)
		}
		f.seen[s.From] = s
	}
	return len(f.seen)
}

// back waits until the connection is, and more trades came. What was published meanwhile must all
// be there, since the node has it in its history: each number once, in order, without a gap, at
// the price that was published. What is resumed can fill the list twice over between two looks:
// the lines that were not seen must then be as many as the numbers.
func (f *follower) back(t *testing.T) {
	t.Helper()
	before := 0
	eventually(t, "the link to be back", func() bool {
		before = f.look(t)
		return strings.Contains(f.tab.text(t, "#log"), "Resumed on")
	})
	eventually(t, "trades after", func() bool { return f.look(t) > before+20 })
	if log := f.tab.text(t, "#log"); !strings.Contains(log, "missed: 0") {
		t.Errorf("the page tells of losses:\n%s", log)
	}

	all := make([]sale, 0, len(f.seen))
	for _, s := range f.seen {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b sale) int { return int(a.From - b.From) })
	compared := 0
	for i, s := range all {
		if s.Kind != "trade" || s.From != s.To {
			t.Errorf("%v is no trade", s)
		}
		if i > 0 {
			if numbers, lines := s.From-all[i-1].To-1, s.ID-all[i-1].ID-1; numbers != lines {
				t.Errorf("%v follows %v", s, all[i-1])
			}
		}
		price, published := f.tape.trade(busiest, s.From)
		if !published {
			continue // before it listened, or not heard of yet
		}
		compared++
		if shown, err := strconv.ParseFloat(strings.ReplaceAll(s.Price, ",", ""), 64); err != nil || shown != price {
			t.Errorf("%v was published at %v", s, price)
		}
	}
	if compared < 20 {
		t.Errorf("%d of %d trades compared with what was published", compared, len(all))
	}
	t.Logf("%d trades across the loss of a connection, %d compared", len(all), compared)
}
