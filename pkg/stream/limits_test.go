package stream

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
	"pgregory.net/rapid"

	"github.com/tickcast/tickcast/pkg/auth"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

func TestClientAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tt := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "192.0.2.1:5", nil, "192.0.2.1"},
		{"a stranger's word", "192.0.2.1:5", []string{"198.51.100.7"}, "192.0.2.1"},
		{"a proxy's word", "10.0.0.1:5", []string{"198.51.100.7"}, "198.51.100.7"},
		{"what the client claims before it", "10.0.0.1:5", []string{"1.2.3.4, 198.51.100.7"}, "198.51.100.7"},
		{"a chain of proxies", "10.0.0.1:5", []string{"1.2.3.4, 198.51.100.7, 10.9.9.9"}, "198.51.100.7"},
		{"in several lines", "10.0.0.1:5", []string{"1.2.3.4", "198.51.100.7", "10.9.9.9"}, "198.51.100.7"},
		{"proxies only", "10.0.0.1:5", []string{"10.2.2.2"}, "10.2.2.2"},
		{"no word", "10.0.0.1:5", nil, "10.0.0.1"},
		{"nonsense ends the chain", "10.0.0.1:5", []string{"198.51.100.7, unknown, 10.9.9.9"}, "10.9.9.9"},
		{"with a port", "10.0.0.1:5", []string{"198.51.100.7:4711"}, "198.51.100.7"},
		{"IPv6", "[fd00::1]:5", []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		{"IPv6 in brackets", "[fd00::1]:5", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:5", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{"X-Forwarded-For": tt.forwarded}}
			if got := clientAddress(r, trusted).String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestNetworkOfAnAddress(t *testing.T) {
	for address, want := range map[string]string{"192.0.2.1": "192.0.2.1/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64"} {
		if got := network(netip.MustParseAddr(address)).String(); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
	if network(netip.Addr{}) != (netip.Prefix{}) {
		t.Error("no address has a network")
	}
}

// Seats are never more than the bounds, and none stays behind.
func TestSeatsAreCounted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perAddress, perToken := rapid.IntRange(0, 3).Draw(t, "per address"), rapid.IntRange(0, 3).Draw(t, "per token")
		all := newSeats(&Config{PerAddress: perAddress, PerToken: perToken, Auth: &auth.Verifier{}})
		addresses := []netip.Prefix{network(netip.MustParseAddr("192.0.2.1")), network(netip.MustParseAddr("192.0.2.2"))}
		var taken []*seat
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				if s, ok := all.take(rapid.SampledFrom(addresses).Draw(t, "address")); ok {
					taken = append(taken, s)
				}
			},
			"give": func(t *rapid.T) {
				if len(taken) > 0 {
					most := rapid.SampledFrom([]int{0, 1, 2, math.MaxInt}).Draw(t, "most")
					s := rapid.SampledFrom(taken).Draw(t, "seat")
					before, holder := s.holder, rapid.SampledFrom([]string{"x", "y"}).Draw(t, "holder")
					if ok := s.give(holder, most); ok != (s.holder == holder) && before != holder {
						t.Fatalf("given %v, and the holder is %q", ok, s.holder)
					}
				}
			},
			"leave": func(t *rapid.T) {
				if n := len(taken); n > 0 {
					taken[n-1].leave()
					taken[n-1].leave() // does nothing
					taken = taken[:n-1]
				}
			},
			"": func(t *rapid.T) {
				byAddress, byHolder := map[netip.Prefix]int{}, map[string]int{}
				for _, s := range taken {
					byAddress[s.address]++
					if s.holder != "" {
						byHolder[s.holder]++
					}
				}
				if fmt.Sprint(byAddress, byHolder) != fmt.Sprint(all.byAddress, all.byHolder) {
					t.Fatalf("counted %v %v, are %v %v", all.byAddress, all.byHolder, byAddress, byHolder)
				}
				for _, n := range byAddress {
					if perAddress > 0 && n > perAddress {
						t.Fatalf("%d of one address", n)
					}
				}
				for _, n := range byHolder {
					if perToken > 0 && n > perToken {
						t.Fatalf("%d of one token", n)
					}
				}
			},
		})
	})
}

func TestPace(t *testing.T) {
	var p pace
	allowed := func(at time.Duration, asks int) (n int) {
		for range asks {
			if p.take(int64(at), 10, 20) {
				n++
			}
		}
		return n
	}
	for _, tt := range []struct {
		at         time.Duration
		asks, want int
	}{
		{time.Hour, 100, 20},               // all at once
		{time.Hour, 100, 0},                // and no more
		{time.Hour + time.Second, 100, 10}, // a second's worth
		{2 * time.Hour, 100, 20},           // no more than that, however long it was quiet
	} {
		if got := allowed(tt.at, tt.asks); got != tt.want {
			t.Errorf("at %s: %d of %d, want %d", tt.at, got, tt.asks, tt.want)
		}
	}
}

func TestHandshakesWaitTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rate.NewLimiter(4.25, 10)
		in, out := 0, 0
		done := make(chan bool)
		const storm = 50
		for range storm {
			go func() { done <- awaitTurn(t.Context(), l) }()
		}
		for range storm {
			if <-done {
				in++
			} else {
				out++
			}
		}
		// Ten at once, and those whose turn comes within the time that one may wait.
		if in != 18 || out != 32 {
			t.Errorf("%d in, %d out", in, out)
		}
		time.Sleep(time.Second / 4)
		if !l.Allow() {
			t.Error("those who were refused have taken turns")
		}
	})
}

// A flood is refused request by request, and closed when it goes on.
func TestFloodIsClosed(t *testing.T) {
	h := newHandShard(t, Config{RequestsPerSecond: 2})
	w := h.subscriber(codec.JSON, 0)
	w.s.deflate = false
	ping := codec.Request{Op: codec.OpPing}
	for range 20 {
		w.s.handle(&ping, nil)
	}
	h.step()
	text := strings.Join(w.frames, "")
	if n := strings.Count(text, `"pong"`); n != 10 {
		t.Errorf("%d pongs, want 10", n)
	}
	if n := strings.Count(text, `["err",null,4429`); n != 10 || w.closed != 0 {
		t.Errorf("%d refused, closed %d", n, w.closed)
	}
	w.s.handle(&ping, nil)
	h.step()
	if last := w.frames[len(w.frames)-1]; !strings.Contains(last, `["bye",4429`) || w.closed != 4429 {
		t.Errorf("got %s, closed %d", last, w.closed)
	}
}

func TestBatchesKeepToTheTokensRate(t *testing.T) {
	h := newHandShard(t, Config{BatchEvery: -1})
	w := h.subscriber(codec.JSON, 0)
	w.s.deflate = false
	w.s.rights = &rights{gate: &gate{Verifier: &auth.Verifier{}}}
	w.s.rights.batchEvery = int64(time.Second)
	w.s.add(h.tape("A").id, option{})
	frames := func() int { return len(w.frames) }
	h.publish("A", 1)
	h.step()
	if frames() != 1 {
		t.Fatalf("%d batches, want the first at once", frames())
	}
	for range 9 {
		h.now += int64(100 * time.Millisecond)
		h.publish("A", 1)
		h.turn()
	}
	if frames() != 1 {
		t.Errorf("%d batches within the second", frames())
	}
	h.now += int64(100 * time.Millisecond)
	h.turn()
	h.turn()
	if frames() != 2 || strings.Count(w.frames[1], `["t"`) != 9 {
		t.Errorf("%d batches, the last %s", frames(), w.frames[frames()-1])
	}
	h.publish("A", 1)
	h.turn()
	w.s.shut(4401, "over", 0)
	h.turn()
	if w.closed != 4401 {
		t.Errorf("a goodbye waits: closed %d after %d batches", w.closed, frames())
	}
}

func TestLobbyHasBounds(t *testing.T) {
	n := &Node{lobby: newLobby(&Config{MaxHTTPConnections: 4, PerAddress: 2})}
	n.cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	var conns []*addressed
	enter := func(address string) (closed bool) {
		c := &addressed{address: address}
		conns = append(conns, c)
		n.connState(c, http.StateNew)
		n.connState(c, http.StateActive)
		return c.closed
	}
	for i, tt := range []struct {
		address string
		closed  bool
	}{
		{"192.0.2.1:1", false}, {"192.0.2.1:2", false}, {"192.0.2.1:3", true}, // one address
		{"10.0.0.1:1", false}, {"10.0.0.1:2", false}, {"192.0.2.2:1", true}, // all
	} {
		if got := enter(tt.address); got != tt.closed {
			t.Errorf("%d, %s: closed %v", i, tt.address, got)
		}
	}
	n.connState(conns[0], http.StateHijacked)
	n.connState(conns[2], http.StateClosed) // was never in
	if enter("192.0.2.1:4") || !enter("192.0.2.1:5") {
		t.Error("a place that is left is one place")
	}
	for _, c := range conns {
		n.connState(c, http.StateClosed)
	}
	if len(n.lobby.in)+len(n.lobby.byAddress) > 0 {
		t.Errorf("left behind: %v", n.lobby.byAddress)
	}
}

type addressed struct {
	net.Conn
	address string
	closed  bool
}

func (a *addressed) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(a.address))
}
func (a *addressed) Close() error { a.closed = true; return nil }

// Whatever a request holds, it is answered or upgraded by what the checks agree on.
func FuzzHandshake(f *testing.F) {
	const good = "GET /v1/stream HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	f.Add([]byte(good + "\r\n"))
	f.Add([]byte(good + "Authorization: Bearer a.b.c\r\nOrigin: http://a\r\nSec-WebSocket-Protocol: tickcast.v1.json\r\n\r\n"))
	f.Add([]byte(good + "Authorization: Basic YTpi\r\nX-Forwarded-For: 1.2.3.4, [::1]:80\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.0\r\nOrigin: ://\r\n\r\n"))
	trusted := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
		if err != nil {
			return
		}
		r.RemoteAddr = "192.0.2.1:5"
		no := checkUpgrade(r)
		if no != nil && (no.status < 400 || no.reason == "") {
			t.Errorf("refused with %+v", no)
		}
		if origin := r.Header.Get("Origin"); checkOrigin(r, nil) && origin != "" && !strings.Contains(strings.ToLower(origin), strings.ToLower(r.Host)) {
			t.Errorf("origin %q is let in to %q", origin, r.Host)
		}
		if !clientAddress(r, trusted).IsValid() {
			t.Error("no address")
		}
		if token, given, err := bearer(r.Header); err == nil && given != (len(r.Header.Values("Authorization")) > 0) || err != nil && token != "" {
			t.Errorf("token %q, %v, %v", token, given, err)
		}
		enc, deflate := chooseEncoding(r.Header), chooseDeflate(r.Header, true)
		if p := r.Header.Get("Sec-Websocket-Protocol"); p != "" && p != enc.Subprotocol() {
			t.Errorf("answers %q and sends %v", p, enc)
		}
		if e := r.Header.Get("Sec-Websocket-Extensions"); (e != "") != deflate {
			t.Errorf("answers %q, and compresses: %v", e, deflate)
		}
	})
}

func TestScriptsOfOtherOrigins(t *testing.T) {
	n := &Node{cfg: Config{AllowedOrigins: []string{"https://charts.example.com"}}}
	page := n.guarded(func(w http.ResponseWriter, _ *http.Request, _ *rights) { writeJSON(w, market.ChannelTrade) })
	for _, tt := range []struct{ name, method, origin, allow, headers string }{
		{"allowed", "GET", "https://charts.example.com", "https://charts.example.com", ""},
		{"asked before", "OPTIONS", "https://charts.example.com", "https://charts.example.com", "Authorization"},
		{"the node's own", "GET", "http://node", "http://node", ""},
		{"another", "GET", "https://example.com", "", ""},
		{"another, asked before", "OPTIONS", "https://example.com", "", ""},
		{"none", "GET", "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, r := httptest.NewRecorder(), httptest.NewRequest(tt.method, "http://node/v1/symbols", nil)
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			if tt.method == http.MethodOptions {
				n.preflight(w, r)
			} else {
				page(w, r)
			}
			h := w.Header()
			if h.Get("Access-Control-Allow-Origin") != tt.allow || h.Get("Access-Control-Allow-Headers") != tt.headers || h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("got %v", h)
			}
			if h.Get("Vary") != "Origin" || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("got %v", h)
			}
		})
	}
}
