package eventloop

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func anyPeer(netip.Addr) bool { return true }

const (
	v2Signature = "\r\n\r\n\x00\r\nQUIT\n"
	v2TCP4      = v2Signature + "\x21\x11\x00\x0c" + "\xc6\x33\x64\x07" + "\x7f\x00\x00\x01" + "\x12\x67" + "\x1f\x90"
	v2TCP6      = v2Signature + "\x21\x21\x00\x24" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x12\x67" + "\x1f\x90"
)

var proxyHeaders = []struct{ name, header, client string }{
	{"version 1", "PROXY TCP4 198.51.100.7 127.0.0.1 4711 8080\r\n", "198.51.100.7:4711"},
	{"version 1, IPv6", "PROXY TCP6 2001:db8::9 2001:db8::1 4711 8080\r\n", "[2001:db8::9]:4711"},
	{"version 1, for itself", "PROXY UNKNOWN\r\n", ""},
	{"version 1, unknown with more", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ""},
	{"version 2", v2TCP4, "198.51.100.7:4711"},
	{"version 2, IPv6", v2TCP6, "[2001:db8::9]:4711"},
	{"version 2, IPv4 in IPv6", strings.Replace(v2TCP6, "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09",
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc6\x33\x64\x07", 1), "198.51.100.7:4711"},
	{"version 2 with more behind the addresses", strings.Replace(v2TCP4, "\x00\x0c", "\x00\x10", 1) + "\x04\x00\x01\x00", "198.51.100.7:4711"},
	{"version 2, for itself", v2Signature + "\x20\x00\x00\x00", ""},
}

var badProxyHeaders = map[string]string{
	"none":                     "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	"none, but like one":       "PROXYING TCP4 198.51.100.7 127.0.0.1 4711 8080\r\n",
	"an address that is none":  "PROXY TCP4 198.51.100.700 127.0.0.1 4711 8080\r\n",
	"a name for an address":    "PROXY TCP4 localhost 127.0.0.1 4711 8080\r\n",
	"a port that is none":      "PROXY TCP4 198.51.100.7 127.0.0.1 4711111 8080\r\n",
	"a line without an end":    "PROXY TCP4 " + strings.Repeat("1", 200),
	"a line ended by \\n":      "PROXY TCP4 198.51.100.7 127.0.0.1 4711 8080\n",
	"a datagram":               strings.Replace(v2TCP4, "\x21\x11", "\x21\x12", 1),
	"a socket of the system":   v2Signature + "\x21\x31\x00\xd8" + strings.Repeat("a", 216),
	"another version":          strings.Replace(v2TCP4, "\x21\x11", "\x31\x11", 1),
	"another command":          strings.Replace(v2TCP4, "\x21\x11", "\x22\x11", 1),
	"less than an address":     strings.Replace(v2TCP4, "\x00\x0c", "\x00\x04", 1),
	"64 KiB behind an address": strings.Replace(v2TCP4, "\x00\x0c", "\xff\xff", 1) + strings.Repeat("x", 1<<16),
}

// heardBy has the listener's next connection read all that a client says.
func heardBy(t *testing.T, ln net.Listener, say func(c *net.TCPConn)) (conn net.Conn, heard string, err error) {
	t.Helper()
	c := dialTCP(t, ln.Addr().String())
	said := make(chan struct{})
	go func() { defer close(said); say(c) }()
	conn, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	text, err := io.ReadAll(conn)
	receive(t, said)
	return conn, string(text), err
}

func TestProxiesSayForWhomTheySpeak(t *testing.T) {
	for _, secure := range []bool{false, true} {
		cfg := ListenConfig{FromProxy: anyPeer}
		say := func(header string) func(*net.TCPConn) {
			return func(c *net.TCPConn) {
				_, _ = io.WriteString(c, header+"hello")
				_ = c.CloseWrite()
			}
		}
		if secure {
			cfg.TLS = testTLS()
			say = func(header string) func(*net.TCPConn) {
				return func(c *net.TCPConn) {
					_, _ = io.WriteString(c, header)
					over := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
					_, _ = io.WriteString(over, "hello")
					_ = over.CloseWrite()
				}
			}
		}
		ln := listen(t, cfg)
		for _, tt := range proxyHeaders {
			t.Run(tt.name, func(t *testing.T) {
				conn, heard, err := heardBy(t, ln, say(tt.header))
				client, ok := Client(conn)
				if heard != "hello" || err != nil || ok != (tt.client != "") || ok && client.String() != tt.client {
					t.Errorf("heard %q of %v %v, %v", heard, client, ok, err)
				}
				if got := conn.RemoteAddr().(*net.TCPAddr); !got.IP.IsLoopback() {
					t.Errorf("the peer is %v", got)
				}
			})
		}
	}
}

func TestBadProxyHeadersAreRefused(t *testing.T) {
	ln := listen(t, ListenConfig{FromProxy: anyPeer})
	server := &http.Server{ReadHeaderTimeout: patience, ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request is served") })}
	go func() { _ = server.Serve(ln) }()
	defer server.Close()
	for name, header := range badProxyHeaders {
		t.Run(name, func(t *testing.T) {
			c := dialTCP(t, ln.Addr().String())
			_, _ = io.WriteString(c, header+"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			answer, err := bufio.NewReader(c).ReadString('\n') // or a reset, behind so much that is unread
			if err == nil && !strings.HasPrefix(answer, "HTTP/1.1 400 ") {
				t.Errorf("got %q", answer)
			}
		})
	}
}

// A stranger's header is what any other nonsense is, with or without TLS.
func TestStrangersMaySendNoProxyHeader(t *testing.T) {
	nobody := func(a netip.Addr) bool { return !a.IsLoopback() }
	for _, cfg := range []ListenConfig{{FromProxy: nobody}, {FromProxy: nobody, TLS: testTLS()}} {
		ln := listen(t, cfg)
		server := &http.Server{ReadHeaderTimeout: patience, ErrorLog: log.New(io.Discard, "", 0),
			Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request is served") })}
		go func() { _ = server.Serve(ln) }()
		defer server.Close()
		for _, tt := range proxyHeaders {
			c := dialTCP(t, ln.Addr().String())
			_, _ = io.WriteString(c, tt.header+"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			if answer, err := io.ReadAll(c); err == nil && bytes.Contains(answer, []byte(" 200 ")) {
				t.Errorf("%s: got %q", tt.name, answer)
			}
		}
	}
}

// A header takes no longer than a request's may.
func TestSlowProxyHeaderIsCut(t *testing.T) {
	ln := listen(t, ListenConfig{FromProxy: anyPeer})
	server := &http.Server{ReadHeaderTimeout: 50 * time.Millisecond, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.Serve(ln) }()
	defer server.Close()
	for _, begin := range []string{"", v2Signature, v2TCP4[:20]} {
		c := dialTCP(t, ln.Addr().String())
		_, _ = io.WriteString(c, begin)
		var timeout net.Error
		if _, err := io.ReadAll(c); errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%q keeps its connection", begin)
		}
	}
}

// What came with the header is the loop's, over TLS as without.
func TestProxiedConnectionsAreDetachedWhole(t *testing.T) {
	frame := clientFrame(0x81, "early")
	for _, secure := range []bool{false, true} {
		got := make(chan string, 1)
		l := startLoop(t, &probe{message: func(_ *Conn, _ bool, p []byte) { got <- string(p) }}, Config{})
		cfg := ListenConfig{FromProxy: anyPeer}
		if secure {
			cfg.TLS = testTLS()
		}
		ln := listen(t, cfg)
		c := dialTCP(t, ln.Addr().String())
		shaken := make(chan error, 1)
		go func() {
			_, err := io.WriteString(c, v2TCP4)
			switch {
			case err != nil:
			case !secure:
				_, err = c.Write(append([]byte("x"), frame...))
			default:
				over := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
				if err = over.Handshake(); err == nil {
					_, err = over.Write(append([]byte("x"), frame...))
				}
			}
			shaken <- err
		}()
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if err := receive(t, shaken); err != nil {
			t.Fatal(err)
		}
		a, err := Detach(conn)
		if err != nil || !l.Adopt(a) {
			t.Fatal(err)
		}
		if text := receive(t, got); text != "early" {
			t.Errorf("TLS %v: got %q", secure, text)
		}
	}
}

func TestEarlyKnowsProxies(t *testing.T) {
	type offer struct {
		client netip.AddrPort
		said   string
	}
	offered := make(chan offer, 1)
	ln, err := listen(t, ListenConfig{FromProxy: anyPeer}).Early(Config{}, func(_ int, _, client netip.AddrPort, said []byte) bool {
		offered <- offer{client, string(said)}
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	early := 0
	for _, tt := range proxyHeaders {
		conn, heard, err := heardBy(t, ln, func(c *net.TCPConn) {
			_, _ = io.WriteString(c, tt.header+"hello")
			_ = c.CloseWrite()
		})
		client, ok := Client(conn)
		if heard != "hello" || err != nil || ok && client.String() != tt.client {
			t.Errorf("%s: heard %q of %v, %v", tt.name, heard, client, err)
		}
		select {
		case o := <-offered:
			early++
			if o.said != "hello" || o.client != client {
				t.Errorf("%s: offered %v, and then it is %v", tt.name, o, client)
			}
		default: // the kernel has not waited for what it says
		}
	}
	if early == 0 {
		t.Error("none was offered")
	}
	for name, header := range badProxyHeaders {
		_, heard, err := heardBy(t, ln, func(c *net.TCPConn) {
			_, _ = io.WriteString(c, header)
			_ = c.CloseWrite()
		})
		if heard != "" || err == nil || len(offered) > 0 {
			t.Errorf("%s: heard %q, %v, offered %d", name, heard, err, len(offered))
		}
	}
}

// What stands behind a header is neither lost nor altered, and no header is made up.
func FuzzProxyHeader(f *testing.F) {
	for _, tt := range proxyHeaders {
		f.Add([]byte(tt.header + "hello"))
	}
	for _, header := range badProxyHeaders {
		f.Add([]byte(header))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		if len(said) > saidMax {
			return
		}
		client, behind, err := readProxy(bytes.NewReader(said))
		switch {
		case err != nil && (client.IsValid() || behind != nil):
			t.Errorf("refused, and says %v %q", client, behind)
		case err == nil && !bytes.HasSuffix(said, behind):
			t.Errorf("behind it stands %q", behind)
		case err == nil && !bytes.HasPrefix(said, []byte("PROXY ")) && !bytes.HasPrefix(said, []byte(v2Signature)):
			t.Errorf("%q is a header", said)
		}
	})
}
