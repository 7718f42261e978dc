package e2e_test

import (
	"net"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

func TestASlowReaderIsCutAndNobodyElseNotices(t *testing.T) {
	const limit = 2 * time.Second
	nats := startNATS(t)
	feed := startFeed(t, nats, "--rate", "8000")
	node := startStreamer(t, nats, "--slow-timeout", limit.String())
	node.awaitSymbols(100)
	healthy := node.follow(codec.MsgPack, market.AllChannels(), market.Wildcard)

	slow, resume := node.dialHalted(codec.JSON)
	if err := slow.ws.NetConn().(*net.TCPConn).SetReadBuffer(4096); err != nil { // less for the kernels to hide
		t.Fatal(err)
	}
	slow.send(codec.Request{Op: codec.OpSubscribe, Channels: market.AllChannels(), Symbols: []string{market.Wildcard}})
	await(t, "the slow reader to be cut", func() bool { return metric(t, node.admin, "tickcast_slow_consumers_cut_total") == 1 })
	await(t, "its connection to be gone", func() bool { return metric(t, node.admin, "tickcast_connections") == 1 })
	lines := node.logged("slow consumer cut")
	if len(lines) != 1 {
		t.Fatalf("the log tells of %d cuts", len(lines))
	}
	slowest := max(span(t, lines[0]["over_for"]), span(t, lines[0]["stuck_for"]))
	if slowest < limit || slowest > 2*limit {
		t.Errorf("cut after %v, want %v and little more", slowest, limit)
	}

	resume()
	slow.await("its end", func() bool { return slow.closed })
	if bye, ok := slow.others[len(slow.others)-1].(codec.Bye); ok && bye.Code != int(codec.CodeSlowConsumer) {
		t.Errorf("goodbye %+v", bye)
	}

	feed.stop()
	healthy.reaches(node.snapshot(node.symbols()))
	if gaps := healthy.gaps(); len(gaps) > 0 {
		t.Errorf("the healthy subscriber got %d gaps, first %+v", len(gaps), gaps[0])
	}
}

func span(t *testing.T, v any) time.Duration {
	t.Helper()
	text, _ := v.(string)
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
