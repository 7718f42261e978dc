//go:build proxy

package e2e_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// A proxy that passes TCP on says in a PROXY header whose connection it is, and the node counts
// and shows that one. The proxy has an address of its own here, so that others are strangers.
func TestTheProgramBehindHAProxyWithProxyHeaders(t *testing.T) {
	const proxy = "127.0.0.5"
	for _, tt := range []struct {
		engine string
		secure bool
	}{{"epoll", false}, {"epoll", true}, {"goroutine", false}, {"goroutine", true}} {
		t.Run(fmt.Sprintf("%s, TLS %v", tt.engine, tt.secure), func(t *testing.T) {
			args := []string{"--demo", "--engine", tt.engine, "--proxy-protocol", "--trusted-proxies", proxy, "--max-connections-per-address", "1"}
			if tt.secure {
				args = append(args, newCertificate(t, "node", time.Now().Add(time.Hour)).options()...)
			}
			node := serveStreamer(t, args...)
			front := port(t)
			config := write(t, filepath.Join(t.TempDir(), "haproxy.cfg"), fmt.Sprintf(
				"defaults\n  mode tcp\n  timeout connect 1m\n  timeout client 1m\n  timeout server 1m\n"+
					"listen stream\n  bind %s\n  server node %s send-proxy-v2 source %s\n", front, node.addr, proxy))
			haproxy := system(t, "haproxy", "-db", "-f", config)
			by := func(from, addr string) *streamer {
				return &streamer{process: node.process, addr: addr, secure: tt.secure, from: from}
			}
			await(t, "HAProxy to listen", func() bool {
				select {
				case <-haproxy.exited:
					t.Fatal("it ended")
				default:
				}
				c, err := net.Dial("tcp", front)
				if err == nil {
					_ = c.Close()
				}
				return err == nil
			})

			clients := []string{"127.0.0.2", "127.0.0.3"}
			var subs []*subscriber
			for _, from := range clients {
				s := by(from, front).dial(codec.MsgPack)
				await(t, "the feed", func() bool {
					_, ok := s.ask(codec.Request{Op: codec.OpSubscribe, Channels: market.AllChannels(), Symbols: []string{market.Wildcard}}).(codec.Ack)
					return ok
				})
				s.flows(100)
				subs = append(subs, s)
			}
			_, body := get(t, node.admin, "/v1/sessions")
			var rows []struct{ Remote string }
			if err := json.Unmarshal([]byte(body), &rows); err != nil {
				t.Fatal(err)
			}
			var seen []string
			for _, row := range rows {
				client, through, _ := strings.Cut(row.Remote, " through ")
				if host, _, err := net.SplitHostPort(through); err != nil || host != proxy {
					t.Errorf("a session of %q", row.Remote)
				}
				seen = append(seen, client)
			}
			if slices.Sort(seen); !slices.Equal(seen, clients) {
				t.Errorf("sessions of %v, want %v", seen, clients)
			}

			if status := by(clients[0], front).knock(); status != http.StatusTooManyRequests {
				t.Errorf("a second connection of one client: %d", status)
			}
			_ = subs[0].ws.NetConn().Close()
			await(t, "the client's place to be free", func() bool { return by(clients[0], front).knock() == http.StatusSwitchingProtocols })
			// Behind TLS there is nobody yet who could answer by HTTP.
			refused := map[bool]int{false: http.StatusBadRequest, true: 0}[tt.secure]
			if status := by(proxy, node.addr).knock(); status != refused {
				t.Errorf("from the proxy without a header: %d, want %d", status, refused)
			}
			if status := by("127.0.0.4", node.addr).knock(); status != http.StatusSwitchingProtocols {
				t.Errorf("a stranger without a header: %d", status)
			}
			subs[1].flows(100)
			node.stop()
		})
	}
}

// knock asks for an upgrade and returns the status, 0 if there is no answer.
func (n *streamer) knock() int {
	n.t.Helper()
	scheme := "http://"
	if n.secure {
		scheme = "https://"
	}
	req, err := http.NewRequest(http.MethodGet, scheme+n.addr+"/v1/stream", nil)
	if err != nil {
		n.t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		req.Header.Set(name, value)
	}
	knocker := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true, DialContext: n.dialer().DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	resp, err := knocker.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
