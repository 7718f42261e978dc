package e2e_test

import (
	"syscall"
	"testing"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

func TestDemoIsTheWholeSystem(t *testing.T) {
	node := serveStreamer(t, "--demo")
	node.awaitSymbols(100)
	s := node.follow(codec.MsgPack, market.AllChannels(), market.Wildcard)
	s.await("a live tick on every channel", func() bool {
		var live [market.Channels]bool
		for stream, b := range s.books {
			live[stream.Channel] = live[stream.Channel] || len(b.ticks) > 0
		}
		return live == [market.Channels]bool{true, true, true}
	})
	if n := metric(t, node.admin, "tickcast_connections"); n != 1 {
		t.Errorf("tickcast_connections is %v, want 1", n)
	}
	if status := node.readyz(); status != 200 {
		t.Errorf("/readyz is %d", status)
	}
	if status, _ := get(t, node.addr, "/"); status != 200 {
		t.Errorf("the page is %d", status)
	}
	node.signal(syscall.SIGINT)
	if code := node.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.await("the end of the connection", func() bool { return s.closed })
	if s.code != 1012 {
		t.Errorf("close code %d, want 1012", s.code)
	}
}
