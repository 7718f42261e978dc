//go:build linux && proxy

package stream_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/eventloop"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

// The proxy speaks from an address of its own on the loopback net, so that all others are strangers.
const proxyAddress = "127.0.0.5"

// newRigBehindProxies is a rig that trusts proxyAddress.
func newRigBehindProxies(t *testing.T, cfg stream.Config) *rig {
	t.Helper()
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(proxyAddress + "/32")}
	return newRigListening(t, newBus(t), cfg, eventloop.ListenConfig{
		FromProxy: func(a netip.Addr) bool { return stream.Trusts(cfg.TrustedProxies, a) },
	})
}

// behindHAProxy starts a real HAProxy in front of the rig, and returns its address.
func (r *rig) behindHAProxy(send string) string {
	r.t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		r.t.Fatal(err)
	}
	defer ln.Close()
	file, err := ln.File()
	if err != nil {
		r.t.Fatal(err)
	}
	defer file.Close()
	_, node, _ := strings.Cut(r.url, "://")
	conf := filepath.Join(r.t.TempDir(), "haproxy.cfg")
	text := fmt.Sprintf(`
defaults
	mode tcp
	timeout connect 1m
	timeout client 1m
	timeout server 1m
listen stream
	bind fd@3
	server node %s %s source %s
`, node, send, proxyAddress)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	path, err := exec.LookPath("haproxy")
	if err != nil {
		path = "/usr/sbin/haproxy" // where Debian puts it, and a user's PATH has not
	}
	var said bytes.Buffer
	cmd := exec.Command(path, "-db", "-f", conf)
	cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = []*os.File{file}, &said, &said
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if r.t.Failed() {
			r.t.Logf("HAProxy: %s", said.String())
		}
	})
	return ln.Addr().String()
}

// from connects to addr from another address of this machine.
func from(t *testing.T, local, addr string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}, Timeout: patience}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type dialerFrom struct {
	t     *testing.T
	local string
}

func (d dialerFrom) Dial(_, addr string) (net.Conn, error) { return from(d.t, d.local, addr), nil }

// knockFrom asks for an upgrade and returns the HTTP status.
func (r *rig) knockFrom(local, addr string) int {
	r.t.Helper()
	resp, err := (&http.Client{Transport: &http.Transport{
		TLSClientConfig: clientTLS, DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return from(r.t, local, addr), nil },
	}}).Do(r.upgradeRequest(addr))
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func (r *rig) upgradeRequest(addr string) *http.Request {
	scheme := "http://"
	if secure {
		scheme = "https://"
	}
	req, err := http.NewRequest(http.MethodGet, scheme+addr+"/v1/stream", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, line := range goodHandshake()[2:] {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	return req
}

func TestSubscribersBehindHAProxy(t *testing.T) {
	for _, send := range []string{"send-proxy", "send-proxy-v2"} {
		t.Run(send, func(t *testing.T) {
			r := newRigBehindProxies(t, stream.Config{PerAddress: 1})
			addr := r.behindHAProxy(send)
			r.announce("A")
			enter := func(local string) *client {
				o := dialOptions(r.url[:strings.Index(r.url, "://")+3]+addr, codec.JSON.Subprotocol())
				o.NewDialer = func() (gws.Dialer, error) { return dialerFrom{t, local}, nil }
				return r.dialWith(codec.JSON, o)
			}
			one, two := enter("127.0.0.2"), enter("127.0.0.3")
			for _, c := range []*client{one, two} {
				c.begin(`"channels":["trade"],"symbols":["A"]`, 1)
			}
			seq := r.trade("A")
			for _, c := range []*client{one, two} {
				if tr := nextOf[market.Trade](c); tr.Seq != seq {
					t.Errorf("got %+v", tr)
				}
			}
			for _, row := range r.sessions() {
				if client, proxy, ok := strings.Cut(row.Remote, " through "+proxyAddress+":"); !ok || client != "127.0.0.2" && client != "127.0.0.3" || proxy == "" {
					t.Errorf("a session of %q", row.Remote)
				}
			}
			if got := r.knockFrom("127.0.0.2", addr); got != http.StatusTooManyRequests {
				t.Errorf("a second connection of one client: %d", got)
			}
			_ = one.ws.NetConn().Close()
			r.await("the client's place to be free", func() bool { return r.knockFrom("127.0.0.2", addr) == http.StatusSwitchingProtocols })
		})
	}
}

// Who is no proxy needs no header, and cannot use one; who is needs one.
func TestProxyHeadersCountFromProxiesOnly(t *testing.T) {
	r := newRigBehindProxies(t, stream.Config{})
	_, addr, _ := strings.Cut(r.url, "://")
	if got := r.knockFrom("127.0.0.2", addr); got != http.StatusSwitchingProtocols {
		t.Errorf("a stranger without a header: %d", got)
	}
	for local, header := range map[string]string{
		"127.0.0.2":  "PROXY TCP4 198.51.100.7 127.0.0.1 4711 8080\r\n",
		proxyAddress: "",
	} {
		c := from(t, local, addr)
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(c, header+strings.Join(goodHandshake(), "\r\n")+"\r\n\r\n")
		answer, err := io.ReadAll(c)
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() || bytes.Contains(answer, []byte(" 101 ")) {
			t.Errorf("from %s with %q: got %q, %v", local, header, answer, err)
		}
		_ = c.Close()
	}
}
