//go:build browser

package web_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

func TestANodeWithoutAFeed(t *testing.T) {
	t.Parallel()
	needPage(t)
	node := startNode(t, buildStreamer(t), "127.0.0.1:0", "--nats", "embedded")
	tab := openTab(t)
	tab.do(t, "size the window", chromedp.EmulateViewport(1440, 900))
	tab.visit("http://" + node.addr + "/")
	tab.waitForState(t, "live")
	tab.waitForText(t, "#banner", has("no market data yet"))
	tab.waitForText(t, "#empty", has("first symbols"))
	tab.shoot(t, "no-feed.png", 1440, 900, "dark")
}

func TestAPageThatIsCutOff(t *testing.T) {
	t.Parallel()
	needPage(t)
	node := startNode(t, buildStreamer(t), "127.0.0.1:0", patient...)
	relay := startRelay(t, node.addr)
	tab := openTab(t)
	tab.do(t, "size the window", chromedp.EmulateViewport(1440, 900))
	tab.visit("http://" + relay.addr + "/")
	tab.waitForState(t, "live")
	tab.waitForText(t, "#total", is(fmt.Sprint(demoSymbols)))
	eventually(t, "prices of the first symbol", func() bool { return eval[int](t, tab, `document.querySelectorAll("#sales tr").length`) > 0 })
	runSteps(t, tab, []step{
		{"says that the link is gone, and shows old prices as old", func(t *testing.T) {
			relay.close()
			tab.waitForState(t, "reconnecting")
			tab.waitForText(t, "#banner", has("Connection lost."))
			tab.waitForText(t, "#banner", has("Next attempt in"))
			colours := eval[[]string](t, tab, `["#last", "#rows [data-field=last]", ".note"].map((s) => getComputedStyle(document.querySelector(s)).color)`)
			if len(slices.Compact(colours)) != 1 {
				t.Errorf("prices of a lost connection have colours %q", colours)
			}
			tab.shoot(t, "lost.png", 1440, 900, "dark")
			relay.open(t)
			eventually(t, "the page to be live again", func() bool { // it may be before it is told to
				tab.tryClick(t, "#banner-retry")
				return eval[string](t, tab, `document.body.dataset.state`) == "live"
			})
		}},
		{"loses nothing", func(t *testing.T) {
			cut := follow(t, tab, node.addr)
			relay.close()
			tab.waitForState(t, "reconnecting")
			relay.open(t)
			cut.back(t)
		}},
		{"knows that the device is offline, and comes back with its network", func(t *testing.T) {
			tab.network(t, false)
			relay.close()
			tab.waitForText(t, "#banner", has("This device is offline."))
			tab.shoot(t, "offline.png", 390, 844, "dark")
			relay.open(t)
			tab.network(t, true)
			tab.waitForState(t, "live")
			eventually(t, "no more trouble", func() bool { return eval[bool](t, tab, `document.querySelector("#banner").hidden`) })
		}},
	})
}

// network takes the browser's network away, as far as the page is told, or gives it back.
func (b *tab) network(t *testing.T, online bool) {
	t.Helper()
	params := network.OverrideNetworkStateParams{Offline: !online, DownloadThroughput: -1, UploadThroughput: -1}
	if _, err := chromedp.Run(b.ctx, func(ctx context.Context, tg *chromedp.Target) (cdp.Empty, error) {
		return cdp.Call(ctx, tg, network.OverrideNetworkState, params)
	}); err != nil {
		t.Fatalf("emulate the network: %v", err)
	}
}

// A relay stands between the page and its node until it is closed; its address stays the same.
type relay struct {
	addr, target string

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]struct{}
	wg       sync.WaitGroup
}

func startRelay(t *testing.T, target string) *relay {
	t.Helper()
	r := &relay{addr: "127.0.0.1:0", target: target, conns: make(map[net.Conn]struct{})}
	r.open(t)
	t.Cleanup(func() {
		r.close()
		r.wg.Wait()
	})
	return r
}

func (r *relay) open(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.listener, r.addr = l, l.Addr().String()
	r.mu.Unlock()
	r.wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() { r.pass(near, l) })
		}
	})
}

func (r *relay) pass(near net.Conn, l net.Listener) {
	defer func() { _ = near.Close() }()
	far, err := net.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer func() { _ = far.Close() }()
	r.mu.Lock()
	open := r.listener == l
	r.conns[near] = struct{}{}
	r.mu.Unlock()
	if !open {
		return
	}
	up := make(chan struct{})
	go func() {
		defer close(up)
		_, _ = io.Copy(far, near)
		_ = far.Close()
	}()
	_, _ = io.Copy(near, far)
	_ = near.Close()
	<-up
	r.mu.Lock()
	delete(r.conns, near)
	r.mu.Unlock()
}

// close cuts every connection, in the middle of whatever it brings, and lets no other in.
func (r *relay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		_ = r.listener.Close()
	}
	r.listener = nil
	for c := range r.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
}
