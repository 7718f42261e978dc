//go:build browser

// The page in a real browser against real nodes: run by `go test -tags browser ./web`, which needs
// Chromium and a built page, and fails without them.
package web_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const (
	demoSymbols = 100
	wantSamples = 200 // changes of the page that are compared with the stream
)

// A step leads to the next: after the first that fails, the rest says nothing.
type step struct {
	name string
	run  func(t *testing.T)
}

func runSteps(t *testing.T, tab *tab, steps []step) {
	t.Helper()
	for _, s := range steps {
		if !t.Run(s.name, s.run) {
			tab.shoot(t, "failed.png", 1440, 900, "light")
			t.FailNow()
		}
	}
}

func needPage(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("dist/index.html"); err != nil {
		t.Fatalf("the page is not built, run `make web`: %v", err)
	}
}

func TestDashboard(t *testing.T) {
	needPage(t)
	streamer := buildStreamer(t)
	node := startNode(t, streamer, "127.0.0.1:0", patient...)
	tab := openTab(t)
	tab.do(t, "size the window", chromedp.EmulateViewport(1440, 900))
	tab.visit("http://" + node.addr + "/")
	runSteps(t, tab, []step{
		{"goes live with all symbols of the node", func(t *testing.T) {
			tab.waitForState(t, "live")
			tab.waitForText(t, "#total", is(fmt.Sprint(demoSymbols)))
		}},
		{"shows the prices that were published, and no others", func(t *testing.T) { comparePrices(t, tab, node.addr) }},
		{"is chosen from by keyboard", func(t *testing.T) {
			symbols := tab.symbols(t)
			tab.keys(t, "#grid", kb.ArrowDown+kb.ArrowDown)
			tab.waitForText(t, "#name", is(symbols[2]))
			eventually(t, "its trades", func() bool { return eval[int](t, tab, `document.querySelectorAll("#sales tr").length`) > 5 })
		}},
		{"sorts by change, both ways", func(t *testing.T) {
			for _, order := range []string{"descending", "ascending"} {
				tab.click(t, `th[data-sort="change"] button`)
				eventually(t, order+" changes", func() bool {
					return eval[bool](t, tab, fmt.Sprintf(`(() => {
						const all = [...document.querySelectorAll("#rows [data-field=change]")].map((c) => Number(c.dataset.value));
						const sign = %q === "ascending" ? 1 : -1;
						const wrong = all.filter((v, i) => i > 0 && sign * (v - all[i - 1]) < -0.02).length;
						return document.querySelector("th[data-sort=change]").ariaSort === %[1]q && all[0] !== all.at(-1) && wrong < 5;
					})()`, order))
				})
			}
			tab.click(t, `th[data-sort="symbol"] button`)
		}},
		{"finds a symbol among all, and stars it", func(t *testing.T) {
			tab.keys(t, "#query", "brk")
			eventually(t, "one row", func() bool { return slices.Equal(tab.symbols(t), []string{"BRK.B"}) })
			tab.click(t, `#rows tr button`)
			tab.keys(t, "#query", "\r")
			tab.waitForText(t, "#name", is("BRK.B"))
			tab.click(t, `#scope [value="starred"]`)
			eventually(t, "the starred row", func() bool { return slices.Equal(tab.symbols(t), []string{"BRK.B"}) })
			eventually(t, "its price", func() bool { return tab.row(t, "BRK.B").Last != "" })
		}},
		{"keeps the list in the URL", func(t *testing.T) {
			tab.visit(eval[string](t, tab, `location.href`))
			tab.waitForState(t, "live")
			eventually(t, "the starred row", func() bool { return slices.Equal(tab.symbols(t), []string{"BRK.B"}) })
		}},
		{"says which symbol is unknown", func(t *testing.T) {
			const unknown = "NO SUCH, SYMBOL"
			tab.keys(t, "#query", unknown+"\r")
			eventually(t, "a rejection", func() bool { return tab.row(t, unknown).Note == "unknown symbol (4404)" })
			tab.shoot(t, "unknown.png", 1440, 900, "dark")
			tab.click(t, `#rows tr[data-symbol="NO SUCH, SYMBOL"] button`)
			tab.click(t, `#scope [value="all"]`)
			tab.waitForText(t, "#total", is(fmt.Sprint(demoSymbols)))
		}},
		{"begins a chart before it was opened itself", func(t *testing.T) {
			symbols := tab.symbols(t)
			beginsBefore(t, tab, node.addr, symbols[1], symbols[3])
		}},
		{"says where the time goes", func(t *testing.T) { tellsHops(t, tab) }},
		{"draws candles of live trades", func(t *testing.T) {
			eventually(t, "a picture on the canvas", func() bool {
				return eval[int](t, tab, `document.querySelectorAll("#chart canvas").length`) > 0
			})
		}},
		{"asks nobody but its node, and breaks no rule of its own", func(t *testing.T) {
			if got := eval[[]string](t, tab, `faults`); len(got) > 0 {
				t.Errorf("the page had faults: %q", got)
			}
			strangers := eval[[]string](t, tab,
				`performance.getEntriesByType("resource").map((r) => r.name).filter((n) => new URL(n).host !== location.host)`)
			if len(strangers) > 0 {
				t.Errorf("the page loaded %q", strangers)
			}
		}},
		{"is looked at", func(t *testing.T) { pictures(t, tab) }},
		{"loses nothing when the link is dropped", func(t *testing.T) {
			dropped := follow(t, tab, node.addr)
			tab.click(t, "#drop")
			dropped.back(t)
		}},
		{"says that the node restarts", func(t *testing.T) {
			if err := node.stop(); err != nil {
				t.Fatal(err)
			}
			tab.waitForText(t, "#banner", has("The node is restarting."))
			tab.waitForState(t, "reconnecting")
			tab.shoot(t, "restarting.png", 1440, 900, "light")
			node.kill()
		}},
		{"goes live again with the node", func(t *testing.T) {
			startNode(t, streamer, node.addr, patient...)
			tab.waitForState(t, "live")
			tab.waitForText(t, "#log", has("Resumed on"))
			tape := listen(t, node.addr, []string{"BTC/USD"})
			eventually(t, "a price of the new node's", func() bool { return tape.has(tab.row(t, "BTC/USD").tradePrice()) })
		}},
	})
}

func is(want string) func(string) bool { return func(got string) bool { return got == want } }
func has(part string) func(string) bool {
	return func(got string) bool { return strings.Contains(got, part) }
}

// comparePrices listens beside the page: once they agree on every row, whatever the page goes
// on to show must have been published.
func comparePrices(t *testing.T, tab *tab, addr string) {
	t.Helper()
	tape := listen(t, addr, []string{"*"})
	var odd string
	eventually(t, "the page and the stream to agree on every row", func() bool {
		for _, r := range tab.rows(t) {
			if r.Last == "" || r.Bid == "" || !tape.has(r.tradePrice()) || !tape.has(r.quotePrice()) {
				odd = fmt.Sprint(r)
				return false
			}
		}
		return true
	}, &odd)

	shown := make(map[string]bool)
	eventually(t, fmt.Sprintf("%d prices on the page", wantSamples), func() bool {
		for _, r := range tab.rows(t) {
			shown[r.tradePrice()] = true
			shown[r.quotePrice()] = true
		}
		return len(shown) >= wantSamples
	})
	var stranger string
	eventually(t, "all of them to be published", func() bool {
		for price := range shown {
			if !tape.has(price) {
				stranger = price
				return false
			}
		}
		return true
	}, &stranger)
	t.Logf("%d different prices on the page, all published", len(shown))
}

// pictures are for people to look at; the first is the one in the README.
func pictures(t *testing.T, tab *tab) {
	t.Helper()
	tab.keys(t, "#query", "BTC/USD\r")
	tab.click(t, "#name") // the focus goes
	eventually(t, "a page that has seen some candles", func() bool {
		return eval[bool](t, tab, `performance.now() > 20_000 && document.querySelectorAll("#sales tr").length >= 40`)
	})
	tab.shoot(t, "dashboard.png", 1440, 900, "dark")
	tab.shoot(t, "light.png", 1440, 900, "light")
	for _, part := range []string{"watch", "chart", "link"} {
		tab.do(t, "size the window", chromedp.EmulateViewport(390, 844))
		tab.click(t, fmt.Sprintf(`#tabs [value=%q]`, part))
		tab.shoot(t, "phone-"+part+".png", 390, 844, "dark")
	}
	tab.click(t, `#tabs [value="watch"]`)
	tab.shoot(t, "phone-light.png", 390, 844, "light")
	tab.do(t, "size the window", chromedp.EmulateViewport(1440, 900))
}
