package e2e_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// Whatever strangers do at that moment, a node that is told to stop says goodbye to those who
// listen, and ends.
func TestANodeStopsUnderSiege(t *testing.T) {
	for _, engine := range []string{"epoll", "goroutine"} {
		t.Run(engine, func(t *testing.T) {
			cert := newCertificate(t, "node", time.Now().Add(time.Hour))
			node := serveStreamer(t, append(cert.options(), "--demo", "--engine", engine, "--drain", "5s", "--slow-timeout", "1m")...)
			node.secure = true
			var listeners []*subscriber
			everything := codec.Request{Op: codec.OpSubscribe, Channels: market.AllChannels(), Symbols: []string{market.Wildcard}}
			for range 5 {
				s := node.dial(codec.MsgPack)
				await(t, "the feed", func() bool { _, ok := s.ask(everything).(codec.Ack); return ok })
				listeners = append(listeners, s)
			}
			for range 3 {
				stalled, _ := node.dialHalted(codec.JSON)
				stalled.send(everything)
			}
			siege := besiege(t, node.addr)
			for _, s := range listeners {
				s.flows(100)
			}

			node.signal(syscall.SIGTERM)
			for _, s := range listeners {
				s.await("the end of the connection", func() bool { return s.closed })
				if s.code != 1012 {
					t.Errorf("close code %d, want 1012", s.code)
				}
			}
			if code := node.wait(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			siege.Wait()
		})
	}
}

// besiege has strangers come, flood, and stop in the middle of every step, until nobody answers
// at the address any more.
func besiege(t *testing.T, addr string) *sync.WaitGroup {
	t.Helper()
	const upgrade = "GET /v1/stream HTTP/1.1\r\nHost: node\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	insecure := &tls.Config{InsecureSkipVerify: true}
	var all sync.WaitGroup
	stranger := func(over bool, says string, flood string) {
		all.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				return
			}
			defer c.Close()
			tcp := c
			if over {
				c = tls.Client(tcp, insecure)
			}
			_, err = io.WriteString(c, says)
			for err == nil && flood != "" {
				_, err = io.WriteString(c, flood)
			}
			_, _ = io.Copy(io.Discard, tcp) // until the node is gone
		})
	}
	ping := "\x89\x84\x00\x00\x00\x00ping"
	ask := fmt.Sprintf("\x81%c\x00\x00\x00\x00%s", 0x80|len(`{"op":"ping"}`), `{"op":"ping"}`)
	for range 3 {
		stranger(false, "", "")
		stranger(false, "\x16\x03\x01\x02", "")                                 // the beginning of a hello
		stranger(true, "", "")                                                  // no word behind the handshake
		stranger(true, upgrade[:60], "")                                        // half a request
		stranger(true, upgrade+ping[:5], "")                                    // half a frame
		stranger(true, upgrade, strings.Repeat(ping, 100))                      // reads nothing
		stranger(true, upgrade, strings.Repeat(ask, 100))                       // likewise
		stranger(true, upgrade, "\x01\x80\x00\x00\x00\x00\x89\x80\x00\x00\x00") // nonsense, soon
	}
	all.Go(func() { // come and go, torn off
		for {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				return
			}
			_, _ = io.WriteString(tls.Client(c, insecure), upgrade)
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}
	})
	return &all
}
