//go:build browser

package web_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/client"
)

// firstSecond is that of the oldest trade of the symbol which the node still has.
func firstSecond(t *testing.T, addr, symbol string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitWithin)
	defer cancel()
	c, err := client.Dial(ctx, "ws://"+addr+"/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	trades := client.Stream{Channel: client.ChannelTrade, Symbol: symbol}
	if err := c.Subscribe(ctx, client.Subscription{
		Channels: []client.Channel{trades.Channel}, Symbols: []string{symbol}, After: map[client.Stream]int64{trades: 0},
	}); err != nil {
		t.Fatal(err)
	}
	for ev, err := range c.Events(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if trade, ok := ev.(client.Trade); ok {
			return trade.Time / int64(time.Second)
		}
	}
	t.Fatal("no trade")
	return 0
}

// beginsBefore chooses symbols one after the other, and wants each one's chart to begin with the
// first trade that the node has, which was before the page was opened.
func beginsBefore(t *testing.T, tab *tab, addr string, symbols ...string) {
	t.Helper()
	for _, symbol := range symbols {
		want := firstSecond(t, addr, symbol)
		tab.click(t, fmt.Sprintf(`#rows tr[data-symbol=%q] [data-field=last]`, symbol))
		var got string
		eventually(t, "the chart of "+symbol+" to begin with the first trade", func() bool {
			got = eval[string](t, tab, `document.querySelector("#chart").dataset.symbol + " " + document.querySelector("#chart").dataset.from`)
			return got == fmt.Sprintf("%s %d", symbol, want)
		}, &got)
		if opened := eval[float64](t, tab, `performance.timeOrigin / 1000`); float64(want) >= opened {
			t.Errorf("the first trade of %s was at %d, when the page was open already, since %.0f", symbol, want, opened)
		}
	}
}

// tellsHops wants the way of events to be told by hop, and the hops to make up the way.
func tellsHops(t *testing.T, tab *tab) {
	t.Helper()
	type hop struct {
		Name   string
		Median float64 // ms; -1 = not known
		Shown  bool    // as a row
		Bar    bool    // as a part of the bar
	}
	read := func() map[string]hop {
		all := make(map[string]hop)
		for _, h := range eval[[]hop](t, tab, `[...document.querySelectorAll("#hops tr")].map((tr) => {
			const [text, unit] = tr.cells[1].textContent.replaceAll(",", "").split(" ");
			const bar = document.querySelector(".path [data-hop=" + tr.dataset.name + "]");
			return {
				Name: tr.dataset.name, Shown: !tr.hidden, Bar: bar !== null && !bar.hidden,
				Median: unit === undefined ? -1 : Number(text) * (unit === "s" ? 1000 : 1),
			};
		})`) {
			all[h.Name] = h
		}
		return all
	}
	parts := []string{"venue", "feed", "nats", "node", "reading", "network", "screen"}
	var got string
	eventually(t, "hops that make up the way", func() bool {
		all, sum := read(), 0.0
		got = fmt.Sprintf("%+v", all)
		for _, name := range parts {
			h := all[name]
			if !h.Shown || !h.Bar || h.Median < 0 {
				return false
			}
			sum += h.Median
		}
		// The node's minute and the page's last thousand events are not the same events: on a
		// machine that is busy by fits they are far from equal.
		whole := all["whole"].Median
		return !all["upstream"].Shown && !all["upstream"].Bar && whole > 0 && sum > whole*0.8-5 && sum < whole*2+20
	}, &got)
	t.Logf("%s", got)
}
