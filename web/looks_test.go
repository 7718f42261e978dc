//go:build browser

package web_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// How the page is at each size and in each theme: whoever cannot see it, or has no mouse, can use
// it too.
func TestThePageIsForEverybody(t *testing.T) {
	t.Parallel()
	needPage(t)
	axe, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatalf("run `make web`: %v", err)
	}
	node := startNode(t, buildStreamer(t), "127.0.0.1:0", patient...)
	tab := openTab(t)
	tab.do(t, "size the window", chromedp.EmulateViewport(1440, 900))
	tab.visit("http://" + node.addr + "/")
	tab.waitForState(t, "live")
	tab.waitForText(t, "#total", is(fmt.Sprint(demoSymbols)))
	eventually(t, "a trade", func() bool { return eval[int](t, tab, `document.querySelectorAll("#sales tr").length`) > 0 })
	eval[bool](t, tab, string(axe)+"; true")
	check := func(t *testing.T) {
		t.Helper()
		for _, fault := range eval[[]string](t, tab, `axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) =>
			violations.flatMap(({ id, nodes }) => nodes.map((n) => id + ": " + n.target.join(" ") + ": " + n.failureSummary)))`, chromedp.EvalAwaitPromise) {
			t.Error(fault)
		}
		if wide := eval[int](t, tab, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
			t.Errorf("the page is %d px wider than the window", wide)
		}
	}
	runSteps(t, tab, []step{
		{"at a desk, dark", func(t *testing.T) { tab.prefer(t, "dark"); check(t) }},
		{"at a desk, light", func(t *testing.T) { tab.prefer(t, "light"); check(t) }},
		{"on a phone", func(t *testing.T) {
			tab.do(t, "size the window", chromedp.EmulateViewport(390, 844))
			for _, part := range []string{"link", "chart", "watch"} {
				tab.click(t, fmt.Sprintf(`#tabs [value=%q]`, part))
				for _, scheme := range []string{"dark", "light"} {
					t.Run(part+" "+scheme, func(t *testing.T) { tab.prefer(t, scheme); check(t) })
				}
			}
			tab.do(t, "size the window", chromedp.EmulateViewport(1440, 900))
		}},
		{"by keyboard alone", func(t *testing.T) {
			press := func(keys string) { tab.do(t, "press keys", chromedp.KeyEvent(keys)) }
			focus := func() string {
				return eval[string](t, tab, `document.activeElement.id || document.activeElement.textContent.trim()`)
			}
			press("/")
			if at := focus(); at != "query" {
				t.Fatalf("/ leads to %q", at)
			}
			eval[string](t, tab, `document.activeElement.value = ""`) // CDP sends the character apart from its key
			press("btc/")
			press(kb.Enter)
			tab.waitForText(t, "#name", is(busiest))
			if at := focus(); at != "grid" {
				t.Errorf("Enter leads to %q", at)
			}
			press("s")
			eventually(t, "a star", func() bool {
				return eval[bool](t, tab, `document.querySelector("#rows tr[aria-selected=true] button").ariaPressed === "true"`)
			})
			press(kb.End)
			last := ""
			eventually(t, "the last row", func() bool {
				last = eval[string](t, tab, `document.querySelector("#rows tr:last-child").dataset.symbol`)
				return tab.text(t, "#name") == last && last != busiest
			})
			press(kb.ArrowUp)
			tab.waitForText(t, "#name", func(got string) bool { return got != last })
			seen := make(map[string]bool)
			for range 40 { // every control is a stop on the way round
				press(kb.Tab)
				seen[focus()] = true
			}
			for _, stop := range []string{"theme", "All", "Starred", "query", "Last", "grid", "1 min", "interval", "policy", "slow", "drop", "log"} {
				if !seen[stop] {
					t.Errorf("Tab does not lead to %s, only to %v", stop, seen)
				}
			}
		}},
	})
}
