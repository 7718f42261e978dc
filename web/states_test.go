//go:build browser

package web_test

import (
	"testing"

	"github.com/chromedp/chromedp"
)

func TestANodeWithoutAFeed(t *testing.T) {
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
