package stream_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/stream"
)

// crowd has strangers come and say so, each again when the node has ended him, until the test ends.
func (r *rig) crowd(strangers int, says string) {
	r.t.Helper()
	_, addr, _ := strings.Cut(r.url, "://")
	config := clientTLS.Clone() // gws writes into the one that it gets
	ctx, leave := context.WithCancel(context.Background())
	var all sync.WaitGroup
	r.t.Cleanup(func() {
		leave()
		all.Wait()
	})
	visit := func() {
		tcp, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return
		}
		defer func() { _ = tcp.Close() }()
		defer context.AfterFunc(ctx, func() { _ = tcp.Close() })()
		c := tcp
		if secure && says != "" {
			c = tls.Client(tcp, config)
		}
		_, _ = io.WriteString(c, says)
		_, _ = io.Copy(io.Discard, c)
	}
	for range strangers {
		all.Go(func() {
			for ctx.Err() == nil {
				visit()
				select {
				case <-ctx.Done():
				case <-time.After(10 * time.Millisecond): // others come as often
				}
			}
		})
	}
}

// Strangers who fill the lobby, silent or refused, do not keep out who has a token.
func TestANewcomerIsLetInPastAFullLobby(t *testing.T) {
	const places = 6
	g := newGuardedRig(t, stream.Config{MaxHTTPConnections: places, HandshakesPerSecond: 50})
	g.announce("BTC/USD")
	refused := strings.Join(append(goodHandshake(), "Authorization: Bearer "+token(t, `{}`, "exp", 1)), "\r\n") + "\r\n\r\n"
	g.crowd(places, "")
	g.crowd(places, refused)
	g.crowd(places, "GET /v1/symbols HTTP/1.1\r\nHost: localhost\r\n\r\n")
	g.await("strangers to be too many", func() bool { return g.metrics()["upgrades_refused_total{unread}"] > 0 })

	o := dialOptions(g.url, codec.JSON.Subprotocol())
	o.RequestHeader.Set("Authorization", "Bearer "+token(t, `{}`))
	c := g.newClient(codec.JSON)
	g.await("a newcomer to be let in", func() bool {
		ws, _, err := gws.NewClient(c, o)
		if err == nil {
			c.follow(ws)
		}
		return err == nil
	})
	c.begin(`"channels":["trade"],"symbols":["BTC/USD"]`, 1)
}
