//go:build browser

package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// A node that bears with a page on a busy machine.
var patient = []string{"--demo", "--pending-bytes", "64MiB", "--slow-timeout", "2m"}

// A node with little room: what a slow page meets after a minute elsewhere, it meets here in
// seconds. Only its policy ends it, not the time.
var cramped = []string{
	"--demo", "--rate", "20000", "--symbols", "500", "--pending-bytes", "128KiB", "--slow-timeout", "10m",
}

func TestASlowPage(t *testing.T) {
	needPage(t)
	node := startNode(t, buildStreamer(t), "127.0.0.1:0", cramped...)
	tab := openTab(t)
	tab.do(t, "size the window", chromedp.EmulateViewport(1440, 900))
	tab.visit("http://" + node.addr + "/")
	count := func(name string) func() bool {
		return func() bool {
			return eval[bool](t, tab, `Number(document.querySelector("[data-name=`+name+`] dd").innerText.replace(/[^0-9]/g, "")) > 0`)
		}
	}
	choose := func(t *testing.T, policy string) {
		t.Helper()
		eval[bool](t, tab, fmt.Sprintf(`(() => {
			const choice = document.querySelector("#policy");
			choice.value = %q;
			return choice.dispatchEvent(new Event("change"));
		})()`, policy))
	}
	runSteps(t, tab, []step{
		{"has its trades summed up", func(t *testing.T) {
			tab.waitForState(t, "live")
			choose(t, "aggregate")
			tab.click(t, "#slow")
			tab.waitForText(t, "#log", has("Reading slowly, on purpose"))
			eventually(t, "sums", count("aggregated"))
			tab.shoot(t, "slow.png", 1440, 900, "light")
		}},
		{"is cut where the policy says so, and comes back at full speed", func(t *testing.T) {
			choose(t, "disconnect")
			eventually(t, "the node to cut it for being slow", func() bool {
				return strings.Contains(ask(t, node, "/metrics"), "\ntickcast_slow_consumers_cut_total 1\n")
			})
			// 1006 is what a page is told that takes longer to read the other than the node leaves it.
			tab.waitForText(t, "#log", func(log string) bool {
				return strings.Contains(log, "Connection lost: slow consumer (4408)") || strings.Contains(log, "Connection lost: closed with code 1006")
			})
			tab.waitForText(t, "#log", has("Reading at full speed again"))
			tab.waitForText(t, "#log", has("Resumed on"))
			beside := listen(t, node.addr, []string{"AAPL"})
			eventually(t, "a price that was published since", func() bool { return beside.has(tab.row(t, "AAPL").tradePrice()) })
		}},
		{"is told of gaps under another policy", func(t *testing.T) {
			choose(t, "drop_oldest")
			tab.waitForState(t, "live")
			tab.click(t, "#slow")
			eventually(t, "the button pressed", func() bool {
				return eval[bool](t, tab, `document.querySelector("#slow").ariaPressed === "true"`)
			})
			eventually(t, "the node to drop trades", func() bool { return dropped(t, node) > 0 })
			tab.click(t, "#slow") // what the node told meanwhile is read at once
			eventually(t, "a count of them", count("dropped"))
			eventually(t, "the gaps that tell of them", count("gaps"))
			t.Logf("what happened:\n%s", tab.text(t, "#log"))
		}},
	})
}

// dropped is what the node's present sessions have lost.
func dropped(t *testing.T, node nodeProcess) (n int64) {
	t.Helper()
	var sessions []struct{ Dropped int64 }
	if err := json.Unmarshal([]byte(ask(t, node, "/v1/sessions")), &sessions); err != nil {
		t.Fatal(err)
	}
	for _, s := range sessions {
		n += s.Dropped
	}
	return n
}

// ask reads a page of the node's admin address.
func ask(t *testing.T, node nodeProcess, path string) string {
	t.Helper()
	answer, err := http.Get("http://" + node.admin + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// Whatever comes, the page writes its rows once a frame, and has no more of them than the
// screen. How many frames that makes is a number for the log: it is the machine's.
func TestTwoThousandSymbols(t *testing.T) {
	needPage(t)
	node := startNode(t, buildStreamer(t), "127.0.0.1:0", "--demo", "--rate", "20000", "--symbols", "2000")
	tab := openTab(t)
	tab.do(t, "size the window", chromedp.EmulateViewport(1440, 900))
	tab.visit("http://" + node.addr + "/")
	tab.waitForState(t, "live")
	tab.waitForText(t, "#total", is("2,000"))
	if _, err := chromedp.Run(tab.ctx, func(ctx context.Context, tg *chromedp.Target) (cdp.Empty, error) {
		return cdp.Call(ctx, tg, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks})
	}); err != nil {
		t.Fatal(err)
	}

	type sample struct{ Frames, Paints, At float64 }
	read := func() sample {
		return eval[sample](t, tab, `({ Frames: frames_, Paints: paints, At: performance.now() })`)
	}
	before, busy := read(), busySeconds(t, tab)
	eventually(t, "30 paints", func() bool { return read().Paints >= before.Paints+30 })
	after := read()
	frames, paints, seconds := after.Frames-before.Frames, after.Paints-before.Paints, (after.At-before.At)/1000
	if paints > frames+1 {
		t.Errorf("%v paints in %v frames", paints, frames)
	}
	if rows := eval[int](t, tab, `document.querySelectorAll("#rows tr").length`); rows > 80 {
		t.Errorf("%d rows in the document", rows)
	}
	t.Logf("%.1f frames a second, %.1f of them painted, %.1f ms of the page's thread each; %s",
		frames/seconds, paints/seconds, (busySeconds(t, tab)-busy)*1000/paints, tab.text(t, "#pulse"))

	eval[bool](t, tab, `(document.querySelector("#scroll").scrollTop = 30 * 1000) > 0`)
	eventually(t, "rows of the middle", func() bool {
		return eval[int](t, tab, `Number(document.querySelector("#rows tr").ariaRowIndex)`) > 900
	})
	tab.keys(t, "#grid", kb.End)
	eventually(t, "the last row to be chosen", func() bool {
		return eval[bool](t, tab, `document.querySelector("#rows tr:last-child").ariaSelected === "true"`)
	})
	tab.shoot(t, "many.png", 1440, 900, "dark")
}

// busySeconds is the time of a processor that the page's own thread has taken.
func busySeconds(t *testing.T, tab *tab) float64 {
	t.Helper()
	got, err := chromedp.Run(tab.ctx, func(ctx context.Context, tg *chromedp.Target) (performance.GetMetricsResult, error) {
		return cdp.Call(ctx, tg, performance.GetMetrics, cdp.Empty{})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range got.Metrics {
		if m.Name == "TaskDuration" {
			return m.Value
		}
	}
	t.Fatal("the browser does not tell how busy it is")
	return 0
}
