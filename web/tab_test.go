//go:build browser

package web_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

const (
	testWithin = 10 * time.Minute
	waitWithin = 2 * time.Minute
)

// faults collects what a reader of the page would never see: errors, and loads that the
// page's own policy refused, and a frame that could replace another before it is painted, with
// what happened in that one. Beside them, every paint of the watchlist and every frame are counted.
const faults = `window.faults = [];
for (const kind of ["error", "unhandledrejection", "securitypolicyviolation"])
	addEventListener(kind, (e) => faults.push(kind + ": " + (e.message ?? e.reason ?? e.blockedURI)), true);
const post = Worker.prototype.postMessage;
Worker.prototype.postMessage = function (message, ...more) {
	if (message.do === "frame") {
		if (this.asked) faults.push("a frame was asked for while another was under way");
		this.asked = true;
		this.addEventListener("message", () => (this.asked = false), { once: true });
	}
	post.call(this, message, ...more);
};
window.frames_ = 0;
window.paints = 0;
const count = () => { frames_++; requestAnimationFrame(count); };
requestAnimationFrame(count);
addEventListener("DOMContentLoaded", () => new MutationObserver(() => paints++)
	.observe(document.querySelector("#rows"), { subtree: true, childList: true, attributes: true, characterData: true }));`

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
	// chromedp would hear of each change of thousands of cells, and look for elements among them.
	if _, err := chromedp.Run(ctx, func(ctx context.Context, tg *chromedp.Target) (cdp.Empty, error) {
		return cdp.Call(ctx, tg, dom.Disable, cdp.Empty{})
	}); err != nil {
		t.Fatalf("have the browser keep its document to itself: %v", err)
	}
	return &tab{ctx: ctx, t: t}
}

func (b *tab) visit(url string) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.Navigate(url)); err != nil {
		b.t.Fatalf("visit %s: %v", url, err)
	}
}

func eval[T any](t *testing.T, b *tab, js string, options ...chromedp.EvaluateOption) T {
	t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](js, options...))
	if err != nil {
		t.Fatalf("evaluate %s: %v", js, err)
	}
	return v
}

// A row is what the page shows of one symbol, raw.
type row struct{ Symbol, Last, Bid, Ask, Note string }

func (r row) tradePrice() string { return priceKey("trade", r.Symbol, number(r.Last)) }
func (r row) quotePrice() string { return priceKey("quote", r.Symbol, number(r.Bid), number(r.Ask)) }

// rows are those on the screen, and a few at its edges.
func (b *tab) rows(t *testing.T) []row {
	t.Helper()
	return eval[[]row](t, b, `[...document.querySelectorAll("#rows tr")].map((tr) => {
		const raw = (field) => tr.querySelector("[data-field=" + field + "]").dataset.value ?? "";
		return {
			Symbol: tr.dataset.symbol, Last: raw("last"), Bid: raw("bid"), Ask: raw("ask"),
			Note: tr.querySelector("[data-field=note]").textContent,
		};
	})`)
}

func (b *tab) symbols(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, r := range b.rows(t) {
		all = append(all, r.Symbol)
	}
	return all
}

func (b *tab) row(t *testing.T, symbol string) row {
	t.Helper()
	rows := b.rows(t)
	if i := slices.IndexFunc(rows, func(r row) bool { return r.Symbol == symbol }); i >= 0 {
		return rows[i]
	}
	return row{}
}

// waitForText waits until an element's text is as wanted.
func (b *tab) waitForText(t *testing.T, selector string, holds func(string) bool) string {
	t.Helper()
	var got string
	eventually(t, "what is wanted in "+selector, func() bool {
		got = b.text(t, selector)
		return holds(got)
	}, &got)
	return got
}

func (b *tab) text(t *testing.T, selector string) string {
	t.Helper()
	return eval[string](t, b, fmt.Sprintf(`document.querySelector(%q).innerText`, selector))
}

func (b *tab) do(t *testing.T, what string, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// prefer sets the system's colours, light or dark.
func (b *tab) prefer(t *testing.T, scheme string) {
	t.Helper()
	params := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Run(b.ctx, func(ctx context.Context, tg *chromedp.Target) (cdp.Empty, error) {
		return cdp.Call(ctx, tg, emulation.SetEmulatedMedia, params)
	}); err != nil {
		t.Fatalf("prefer %s: %v", scheme, err)
	}
}

// click clicks the first such element. What a page that moves under the pointer makes of a click
// beside it is tried again.
func (b *tab) click(t *testing.T, selector string) {
	t.Helper()
	eventually(t, "a click on "+selector, func() bool { return b.tryClick(t, selector) })
}

// tryClick reports whether the element was there, and was hit.
func (b *tab) tryClick(t *testing.T, selector string) bool {
	t.Helper()
	at := eval[*struct{ X, Y float64 }](t, b, fmt.Sprintf(`(() => {
		const element = document.querySelector(%[1]q);
		element?.scrollIntoView({ block: "nearest", inline: "nearest" });
		const box = element?.getBoundingClientRect();
		if (!box?.width) return null;
		window.hit = false;
		addEventListener("click", (e) => (hit = e.target.closest(%[1]q) !== null), { capture: true, once: true });
		return { X: box.x + box.width / 2, Y: box.y + box.height / 2 };
	})()`, selector))
	if at == nil {
		return false
	}
	b.do(t, "click "+selector, chromedp.MouseClickXY(at.X, at.Y))
	return eval[bool](t, b, `hit`)
}

// keys gives the keyboard to the element, and presses keys.
func (b *tab) keys(t *testing.T, selector, keys string) {
	t.Helper()
	eventually(t, "the keyboard in "+selector, func() bool {
		return eval[bool](t, b, fmt.Sprintf(`(() => {
			const element = document.querySelector(%q);
			element?.focus();
			return element !== null && document.activeElement === element;
		})()`, selector))
	})
	b.do(t, fmt.Sprintf("press %q", keys), chromedp.KeyEvent(keys))
}

func (b *tab) waitForState(t *testing.T, want string) {
	t.Helper()
	var got string
	eventually(t, "state "+want, func() bool {
		got = eval[string](t, b, `document.body.dataset.state`)
		return got == want
	}, &got)
}

// shoot keeps a picture for people to look at; no test reads it.
func (b *tab) shoot(t *testing.T, name string, width, height int64, scheme string) {
	t.Helper()
	b.do(t, "size the window", chromedp.EmulateViewport(width, height))
	b.prefer(t, scheme)
	frame := eval[float64](t, b, `frames_`)
	eventually(t, "a frame in that size", func() bool { return eval[float64](t, b, `frames_`) > frame+1 })
	picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
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
