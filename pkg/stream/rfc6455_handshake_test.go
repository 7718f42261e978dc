package stream_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/stream"
)

// However a request comes in, and whoever takes it, it gets the answer that RFC 6455 has.
func TestHandshake(t *testing.T) {
	r := newRig(t, stream.Config{AllowedOrigins: []string{"https://good.example"}})
	with := func(lines ...string) []string { return append(goodHandshake(), lines...) }
	without := func(prefix string, lines ...string) []string {
		kept := slices.DeleteFunc(goodHandshake(), func(l string) bool { return strings.HasPrefix(l, prefix) })
		return append(kept, lines...)
	}
	first := func(line string) []string { return append([]string{line}, goodHandshake()[1:]...) }
	lower := goodHandshake()
	for i := range lower[1:] {
		name, value, _ := strings.Cut(lower[1+i], ":")
		lower[1+i] = strings.ToLower(name) + ":" + strings.TrimSpace(value)
	}
	const both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	for _, tt := range []struct {
		name   string
		lines  []string
		status int
		header string // "Name: value" that the answer must have, "Name:" one that it must not
	}{
		{"plain", goodHandshake(), 101, "Sec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
		{"no subprotocol offered", goodHandshake(), 101, "Sec-Websocket-Protocol:"},
		{"unknown subprotocol", with("Sec-WebSocket-Protocol: mqtt"), 101, "Sec-Websocket-Protocol:"},
		{"json", with("Sec-WebSocket-Protocol: tickcast.v1.json"), 101, "Sec-Websocket-Protocol: tickcast.v1.json"},
		{"both: the server prefers msgpack", with("Sec-WebSocket-Protocol: x, tickcast.v1.json, tickcast.v1.msgpack"), 101, "Sec-Websocket-Protocol: tickcast.v1.msgpack"},
		{"subprotocols on two lines", with("Sec-WebSocket-Protocol: x", "Sec-WebSocket-Protocol: tickcast.v1.json"), 101, "Sec-Websocket-Protocol: tickcast.v1.json"},
		{"two Connection lines", without("Connection", "Connection: keep-alive", "Connection: upgrade"), 101, ""},
		{"no upgrade", without("Upgrade"), 426, "Upgrade: websocket"},
		{"no Connection", without("Connection"), 400, ""},
		{"no version", without("Sec-WebSocket-Version"), 426, "Sec-Websocket-Version: 13"},
		{"version 8", without("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"), 426, "Sec-Websocket-Version: 13"},
		{"no key", without("Sec-WebSocket-Key"), 400, ""},
		{"short key", without("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZQ=="), 400, ""},
		{"key that is no base64", without("Sec-WebSocket-Key", "Sec-WebSocket-Key: ************************"), 400, ""},
		{"two keys", with("Sec-WebSocket-Key: " + sampleKey), 400, ""},
		{"HTTP/1.0", append([]string{"GET /v1/stream HTTP/1.0"}, goodHandshake()[1:]...), 400, ""},
		{"POST", append([]string{"POST /v1/stream HTTP/1.1"}, append(goodHandshake()[1:], "Content-Length: 0")...), 405, "Allow: GET"},
		{"own origin", with("Origin: http://localhost"), 101, ""},
		{"allowed origin", with("Origin: https://good.example"), 101, ""},
		{"other origin", with("Origin: https://evil.example"), 403, ""},
		{"opaque origin", with("Origin: null"), 403, ""},
		{"deflate", with("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"), 101, "Sec-Websocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
		{"no deflate with a smaller window", with("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10"), 101, "Sec-Websocket-Extensions:"},
		{"the offer that can be met", with("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10, permessage-deflate"), 101, "Sec-Websocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
		{"deflate with nonsense", with("Sec-WebSocket-Extensions: permessage-deflate; nonsense=1"), 101, "Sec-Websocket-Extensions:"},
		{"other extension", with("Sec-WebSocket-Extensions: permessage-deflate-plus"), 101, "Sec-Websocket-Extensions:"},

		{"header names in lower case, and no blanks", lower, 101, ""},
		{"Upgrade in other letters", without("Upgrade", "Upgrade: WebSocket"), 101, ""},
		{"Upgrade to several", without("Upgrade", "Upgrade: h2c, websocket"), 101, ""},
		{"Upgrade to another", without("Upgrade", "Upgrade: h2c"), 426, "Upgrade: websocket"},
		{"Connection in other letters", without("Connection", "Connection: UPGRADE"), 101, ""},
		{"Connection that only resembles", without("Connection", "Connection: upgraded, xupgrade"), 400, ""},
		{"an absolute URI", first("GET http://localhost/v1/stream HTTP/1.1"), 101, ""},
		{"a query", first("GET /v1/stream?x=1 HTTP/1.1"), 101, ""},
		{"another path", first("GET /v1/nothing HTTP/1.1"), 404, ""},
		{"the path and more", first("GET /v1/stream/ HTTP/1.1"), 404, ""},
		{"a path that is no URI", first("GET /v1/stream%zz HTTP/1.1"), 400, ""},
		{"HTTP/2.0 by name", first("GET /v1/stream HTTP/2.0"), 505, ""},
		{"no HTTP", first("GET /v1/stream"), 400, ""},
		{"PUT", first("PUT /v1/stream HTTP/1.1"), 405, "Allow: GET"},
		{"no Host", without("Host"), 400, ""},
		{"two Hosts", with("Host: other"), 400, ""},
		{"a Host that is none", without("Host", "Host: local host"), 400, ""},
		{"a line without a colon", with("nonsense"), 400, ""},
		{"a blank before the colon", with("X-Name : x"), 400, ""},
		{"a control character", with("X-Name: \x01"), 400, ""},
		{"a length of 0", with("Content-Length: 0"), 101, ""},
		{"a length that is none", with("Content-Length: x"), 400, ""},
		{"a body", with("Content-Length: 4"), 400, ""},
		{"a body in chunks", with("Transfer-Encoding: chunked"), 400, ""},
		{"a header longer than a first read", with("Cookie: " + strings.Repeat("c", 6<<10)), 101, ""},
		{"a header too long", with("Cookie: " + strings.Repeat("c", 64<<10)), 431, ""},
		{"many headers", append(goodHandshake(), slices.Repeat([]string{"X-Name: value"}, 500)...), 101, ""},
		{"version 13 among others", without("Sec-WebSocket-Version", "Sec-WebSocket-Version: 13, 8"), 426, "Sec-Websocket-Version: 13"},
		{"version 13 twice", with("Sec-WebSocket-Version: 13"), 426, "Sec-Websocket-Version: 13"},
		{"version 013", without("Sec-WebSocket-Version", "Sec-WebSocket-Version: 013"), 426, "Sec-Websocket-Version: 13"},
		{"version 14", without("Sec-WebSocket-Version", "Sec-WebSocket-Version: 14"), 426, "Sec-Websocket-Version: 13"},
		{"another key", without("Sec-WebSocket-Key", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), 101, "Sec-Websocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI="},
		{"a key and blanks", without("Sec-WebSocket-Key", "Sec-WebSocket-Key:   "+sampleKey+"  "), 101, "Sec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
		{"an empty key", without("Sec-WebSocket-Key", "Sec-WebSocket-Key:"), 400, ""},
		{"a key without its padding", without("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"), 400, ""},
		{"a key of 17 bytes", without("Sec-WebSocket-Key", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA="), 400, ""},
		{"a subprotocol in other letters", with("Sec-WebSocket-Protocol: TICKCAST.V1.JSON"), 101, "Sec-Websocket-Protocol:"},
		{"no subprotocol but a comma", with("Sec-WebSocket-Protocol: ,"), 101, "Sec-Websocket-Protocol:"},
		{"deflate with every parameter", with(`Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits="15"; client_max_window_bits=8`), 101, "Sec-Websocket-Extensions: " + both},
		{"deflate on a second line", with("Sec-WebSocket-Extensions: x-other", "Sec-WebSocket-Extensions: permessage-deflate"), 101, "Sec-Websocket-Extensions: " + both},
		{"deflate with a parameter twice", with("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits; client_max_window_bits"), 101, "Sec-Websocket-Extensions:"},
		{"deflate with a window of 16", with("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=16"), 101, "Sec-Websocket-Extensions:"},
		{"deflate with a value where there is none", with("Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover=1"), 101, "Sec-Websocket-Extensions:"},
		{"deflate with a window of no size", with("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits"), 101, "Sec-Websocket-Extensions:"},
		{"deflate of browsers of old", with("Sec-WebSocket-Extensions: x-webkit-deflate-frame"), 101, "Sec-Websocket-Extensions:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp := r.raw().handshake(tt.lines...)
			if resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d", resp.StatusCode, tt.status)
			}
			name, value, _ := strings.Cut(tt.header, ":")
			if got := resp.Header.Get(name); name != "" && got != strings.TrimSpace(value) {
				t.Errorf("%s is %q, want %q", name, got, strings.TrimSpace(value))
			}
			if resp.StatusCode != http.StatusSwitchingProtocols {
				return
			}
			if !strings.EqualFold(resp.Header.Get("Upgrade"), "websocket") || !strings.EqualFold(resp.Header.Get("Connection"), "upgrade") || len(resp.Header["Sec-Websocket-Accept"]) != 1 {
				t.Errorf("the answer has %v", resp.Header)
			}
		})
	}
	counted := r.metrics()
	for status, least := range map[int]int{400: 8, 403: 2, 405: 2, 426: 8} { // net/http refuses some of the 400 by itself
		if n := counted[fmt.Sprintf("upgrades_refused_total{%d}", status)]; n < float64(least) {
			t.Errorf("%v refused with %d are counted, want %d or more", n, status, least)
		}
	}
	if got := r.dial(codec.MsgPack); got == nil {
		t.Error("the node serves no more")
	}
}

// However the bytes are cut, and whatever is behind the request, all of it is taken once.
func TestHandshakeInPieces(t *testing.T) {
	r := newRig(t, stream.Config{RequestsPerSecond: 1_000_000})
	good := strings.Join(append(goodHandshake(), "Sec-WebSocket-Protocol: tickcast.v1.json"), "\r\n") + "\r\n\r\n"
	page := "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
	wrong := strings.Replace(good, "Version: 13", "Version: 12", 1)
	ask := string(request(1))
	for _, tt := range []struct {
		name   string
		pieces []string
		status []int
	}{
		{"whole", []string{good, ask}, []int{101}},
		{"in two pieces", []string{good[:40], good[40:], ask}, []int{101}},
		{"a byte at a time", strings.Split(good+ask, ""), []int{101}},
		{"with a frame behind it", []string{good + ask}, []int{101}},
		{"with half a frame behind it", []string{good + ask[:7], ask[7:]}, []int{101}},
		{"with more behind it than a first read takes", []string{good + strings.Repeat(string(clientFrame(0x8a, make([]byte, 100))), 500) + ask}, []int{101}},
		{"lines ended by \\n", []string{strings.ReplaceAll(good, "\r\n", "\n"), ask}, []int{101}},
		{"behind a page", []string{page + good + ask}, []int{200, 101}},
		{"behind a page, once that has come", []string{page, good + ask}, []int{200, 101}},
		{"again, after a wrong version", []string{wrong, good + ask}, []int{426, 101}},
		{"again, at once", []string{wrong + good + ask}, []int{426, 101}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := r.raw()
			w.t = t
			wrote := make(chan error, 1)
			go func() {
				for _, p := range tt.pieces {
					if _, err := fmt.Fprint(w, p); err != nil {
						wrote <- err
						return
					}
				}
				wrote <- nil
			}()
			for _, want := range tt.status {
				resp, err := http.ReadResponse(w.br, nil)
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != want {
					t.Fatalf("status %d, want %d", resp.StatusCode, want)
				}
				if want != http.StatusSwitchingProtocols {
					if _, err := io.Copy(io.Discard, resp.Body); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := <-wrote; err != nil {
				t.Error(err)
			}
			for said := ""; !strings.HasPrefix(said, "answer(1)"); {
				var err error
				if said, err = w.heard(false); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
