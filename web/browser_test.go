//go:build browser

// The page in a real browser against a real node: run by `go test -tags browser ./web`, which needs
// Chromium and a built page, and fails without them.
package web_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

const (
	testWithin  = 2 * time.Minute
	waitWithin  = 20 * time.Second
	wantRows    = 30
	wantSamples = 200 // changes of the page that are compared with the stream
)

// faults collects what a reader of the page would never see: errors, and loads that the
// page's own policy refused.
const faults = `window.faults = [];
for (const kind of ["error", "unhandledrejection", "securitypolicyviolation"])
	addEventListener(kind, (e) => faults.push(kind + ": " + (e.message ?? e.reason ?? e.blockedURI)), true);`

func TestWatchlistInABrowser(t *testing.T) {
	if _, err := os.Stat("dist/index.html"); err != nil {
		t.Fatalf("the page is not built, run `make web`: %v", err)
	}
	streamer := buildStreamer(t)
	node := startNode(t, streamer, "127.0.0.1:0")
	tab := openTab(t)
	tab.visit("http://" + node.addr + "/")

	// Each step leads to the next: after the first that fails, the rest says nothing.
	for _, step := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"goes live with the first symbols of the node", func(t *testing.T) {
			tab.waitForState(t, "live")
			tab.waitForRows(t, wantRows)
		}},
		{"shows the prices that were published, and no others", func(t *testing.T) {
			comparePrices(t, tab, node.addr)
			tab.shoot(t, "live.png", 1100, 1000)
			tab.shoot(t, "phone.png", 390, 844)
		}},
		{"removes a symbol and adds it again", func(t *testing.T) {
			symbol := tab.rows(t)[0].Symbol
			tab.remove(t, symbol)
			tab.waitForRows(t, wantRows-1)
			tab.add(t, symbol)
			tab.waitForRows(t, wantRows)
			eventually(t, "a price of "+symbol, func() bool { return tab.row(t, symbol).Last != "" })
		}},
		{"keeps the list in the URL", func(t *testing.T) {
			before := tab.rows(t)
			tab.visit(eval[string](t, tab, `location.href`))
			tab.waitForState(t, "live")
			tab.waitForRows(t, wantRows)
			if got, want := tab.rows(t)[wantRows-1].Symbol, before[wantRows-1].Symbol; got != want {
				t.Errorf("after a reload the last row is %q, want %q", got, want)
			}
		}},
		{"says which symbol is unknown", func(t *testing.T) {
			const unknown = "NO SUCH, SYMBOL"
			tab.add(t, unknown)
			eventually(t, "a rejection", func() bool { return tab.row(t, unknown).Note == "unknown symbol (4404)" })
			tab.remove(t, unknown)
			tab.waitForRows(t, wantRows)
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
		{"says that it reconnects when the node dies", func(t *testing.T) {
			node.kill()
			tab.waitForState(t, "reconnecting")
			tab.shoot(t, "reconnecting.png", 1100, 1000)
		}},
		{"goes live again with the node", func(t *testing.T) {
			before := tab.rows(t)
			startNode(t, streamer, node.addr)
			tab.waitForState(t, "live")
			eventually(t, "new prices", func() bool {
				for i, r := range tab.rows(t) {
					if r.tradePrice() != before[i].tradePrice() {
						return true
					}
				}
				return false
			})
			tab.shoot(t, "live-again.png", 1100, 1000)
		}},
	} {
		if !t.Run(step.name, step.run) {
			tab.shoot(t, "failed.png", 1100, 1000)
			t.FailNow()
		}
	}
}

// comparePrices listens beside the page: once they agree on every row, whatever the page goes
// on to show must have been published.
func comparePrices(t *testing.T, tab *tab, addr string) {
	var symbols []string
	for _, r := range tab.rows(t) {
		symbols = append(symbols, r.Symbol)
	}
	tape := listen(t, addr, symbols)
	eventually(t, "the page and the stream to agree on every row", func() bool {
		for _, r := range tab.rows(t) {
			if r.Last == "" || r.Bid == "" || !tape.has(r.tradePrice()) || !tape.has(r.quotePrice()) {
				return false
			}
		}
		return true
	})

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

// A tab is the page in a browser of its own.
type tab struct {
	ctx context.Context
	t   *testing.T
}

func openTab(t *testing.T) *tab {
	t.Helper()
	chromium := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			chromium = found
			break
		}
	}
	if chromium == "" {
		t.Fatal("no Chromium, run `apt-get install chromium`")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("no-sandbox", true), // CI runs as root in a container, where it cannot start
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	ctx, cancel := context.WithTimeout(context.Background(), testWithin)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("close the browser: %v", err)
		}
	})

	_, err := chromedp.Run(ctx, func(ctx context.Context, tg *chromedp.Target) (page.AddScriptToEvaluateOnNewDocumentResult, error) {
		return cdp.Call(ctx, tg, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: faults})
	})
	if err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	return &tab{ctx: ctx, t: t}
}

func (b *tab) visit(url string) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.Navigate(url)); err != nil {
		b.t.Fatalf("visit %s: %v", url, err)
	}
}

func eval[T any](t *testing.T, b *tab, js string) T {
	t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](js))
	if err != nil {
		t.Fatalf("evaluate %s: %v", js, err)
	}
	return v
}

// A row is what the page shows of one symbol, raw.
type row struct{ Symbol, Last, Size, Bid, Ask, Note string }

func (r row) tradePrice() string { return priceKey("trade", r.Symbol, number(r.Last), number(r.Size)) }
func (r row) quotePrice() string { return priceKey("quote", r.Symbol, number(r.Bid), number(r.Ask)) }

func (b *tab) rows(t *testing.T) []row {
	t.Helper()
	return eval[[]row](t, b, `[...document.querySelectorAll("#rows tr")].map((tr) => {
		const raw = (field) => tr.querySelector("[data-field=" + field + "]").dataset.value ?? "";
		return {
			Symbol: tr.dataset.symbol, Last: raw("last"), Size: raw("size"), Bid: raw("bid"), Ask: raw("ask"),
			Note: tr.querySelector("[data-field=note]").textContent,
		};
	})`)
}

func (b *tab) row(t *testing.T, symbol string) row {
	t.Helper()
	for _, r := range b.rows(t) {
		if r.Symbol == symbol {
			return r
		}
	}
	return row{}
}

func (b *tab) waitForState(t *testing.T, want string) {
	t.Helper()
	var got string
	eventually(t, "state "+want, func() bool {
		got = eval[string](t, b, `document.body.dataset.state`)
		return got == want
	}, &got)
}

func (b *tab) waitForRows(t *testing.T, want int) {
	t.Helper()
	var got string
	eventually(t, fmt.Sprintf("%d rows", want), func() bool {
		n := len(b.rows(t))
		got = strconv.Itoa(n)
		return n == want
	}, &got)
}

func (b *tab) add(t *testing.T, symbol string) {
	t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.SendKeys("#symbol", symbol+"\r")); err != nil {
		t.Fatalf("add %s: %v", symbol, err)
	}
}

func (b *tab) remove(t *testing.T, symbol string) {
	t.Helper()
	button := fmt.Sprintf(`tr[data-symbol=%q] button`, symbol)
	if err := chromedp.Do(b.ctx, chromedp.Click(button)); err != nil {
		t.Fatalf("remove %s: %v", symbol, err)
	}
}

// shoot keeps a picture for people to look at; no test reads it.
func (b *tab) shoot(t *testing.T, name string, width, height int64) {
	t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(width, height)); err != nil {
		t.Fatalf("size the window: %v", err)
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatalf("take a picture: %v", err)
	}
	if err := os.MkdirAll("shots", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("shots", name), picture, 0o644); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until a condition holds, and names what it waited for where it never did,
// with what it got instead.
func eventually(t *testing.T, what string, holds func() bool, got ...*string) {
	t.Helper()
	deadline := time.After(waitWithin)
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for !holds() {
		select {
		case <-retry.C:
		case <-deadline:
			for _, g := range got {
				t.Errorf("got %s", *g)
			}
			t.Fatalf("waited %v in vain for %s", waitWithin, what)
		}
	}
}
