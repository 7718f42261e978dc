package stream_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/flate"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/stream"
)

// A wire is a subscriber that writes its own bytes.
type wire struct {
	net.Conn
	t  *testing.T
	br *bufio.Reader
}

func (r *rig) raw() *wire {
	r.t.Helper()
	tcp := r.tcp()
	var c net.Conn = tcp
	if secure {
		c = tls.Client(tcp, clientTLS)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &wire{Conn: c, t: r.t, br: bufio.NewReader(c)}
}

// tcp returns a socket on which nothing was said.
func (r *rig) tcp() *net.TCPConn {
	r.t.Helper()
	_, addr, _ := strings.Cut(r.url, "://")
	c, err := net.Dial("tcp", addr)
	if err != nil {
		r.t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

const sampleKey = "dGhlIHNhbXBsZSBub25jZQ==" // RFC 6455 section 1.3

// goodHandshake is a request in lines, which tests change.
func goodHandshake() []string {
	return []string{
		"GET /v1/stream HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: keep-alive, Upgrade",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + sampleKey,
	}
}

func (w *wire) handshake(lines ...string) *http.Response {
	w.t.Helper()
	w.write([]byte(strings.Join(lines, "\r\n") + "\r\n\r\n"))
	resp, err := http.ReadResponse(w.br, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

// tryUpgrade is for a node that may stop meanwhile.
func (w *wire) tryUpgrade() bool {
	_, err := io.WriteString(w, strings.Join(goodHandshake(), "\r\n")+"\r\n\r\n")
	if err != nil {
		return false
	}
	resp, err := http.ReadResponse(w.br, nil)
	return err == nil && resp.StatusCode == http.StatusSwitchingProtocols
}

func (w *wire) upgrade(extra ...string) *http.Response {
	w.t.Helper()
	resp := w.handshake(append(goodHandshake(), extra...)...)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		w.t.Fatalf("upgrade: %s", resp.Status)
	}
	return resp
}

func (w *wire) write(b []byte) {
	w.t.Helper()
	if _, err := w.Write(b); err != nil {
		w.t.Fatal(err)
	}
}

var maskKey = [4]byte{1, 2, 3, 4}

func header(b0 byte, masked bool, n int) []byte {
	mask := byte(0)
	if masked {
		mask = 0x80
	}
	switch {
	case n < 126:
		return []byte{b0, mask | byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{b0, mask | 126}, uint16(n))
	default:
		return binary.BigEndian.AppendUint64([]byte{b0, mask | 127}, uint64(n))
	}
}

func clientFrame(b0 byte, payload []byte) []byte {
	f := append(header(b0, true, len(payload)), maskKey[:]...)
	for i, b := range payload {
		f = append(f, b^maskKey[i%4])
	}
	return f
}

func (w *wire) frame(fin bool, op byte, payload []byte) {
	w.t.Helper()
	if fin {
		op |= 0x80
	}
	w.write(clientFrame(op, payload))
}

// read returns the next frame from the server.
func (w *wire) read() (b0 byte, payload []byte, err error) {
	var h [2]byte
	if _, err = io.ReadFull(w.br, h[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(h[1])
	switch h[1] {
	case 126:
		var l [2]byte
		_, err = io.ReadFull(w.br, l[:])
		n = uint64(binary.BigEndian.Uint16(l[:]))
	case 127:
		var l [8]byte
		_, err = io.ReadFull(w.br, l[:])
		n = binary.BigEndian.Uint64(l[:])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(w.br, payload)
	return h[0], payload, err
}

// until returns the first frame with the opcode.
func (w *wire) until(op byte) []byte {
	w.t.Helper()
	for {
		b0, payload, err := w.read()
		if err != nil {
			w.t.Fatalf("waiting for opcode %d: %v", op, err)
		}
		if b0&0x0f == op {
			return payload
		}
	}
}

// closed returns the close code and checks that the connection ends behind it.
func (w *wire) closed() int {
	w.t.Helper()
	payload := w.until(8)
	if len(payload) < 2 {
		w.t.Fatalf("close without a code")
	}
	if rest, err := io.ReadAll(w.br); len(rest) > 0 || err != nil {
		w.t.Errorf("behind the close frame: %q, %v", rest, err)
	}
	return int(binary.BigEndian.Uint16(payload))
}

func TestHandshake(t *testing.T) {
	r := newRig(t, stream.Config{AllowedOrigins: []string{"https://good.example"}})
	without := func(prefix string) []string {
		var kept []string
		for _, l := range goodHandshake() {
			if !strings.HasPrefix(l, prefix) {
				kept = append(kept, l)
			}
		}
		return kept
	}
	with := func(lines ...string) []string { return append(goodHandshake(), lines...) }
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
		{"two Connection lines", append(without("Connection"), "Connection: keep-alive", "Connection: upgrade"), 101, ""},
		{"no upgrade", without("Upgrade"), 426, "Upgrade: websocket"},
		{"no Connection", without("Connection"), 400, ""},
		{"no version", without("Sec-WebSocket-Version"), 426, "Sec-Websocket-Version: 13"},
		{"version 8", append(without("Sec-WebSocket-Version"), "Sec-WebSocket-Version: 8"), 426, "Sec-Websocket-Version: 13"},
		{"no key", without("Sec-WebSocket-Key"), 400, ""},
		{"short key", append(without("Sec-WebSocket-Key"), "Sec-WebSocket-Key: dGhlIHNhbXBsZQ=="), 400, ""},
		{"key that is no base64", append(without("Sec-WebSocket-Key"), "Sec-WebSocket-Key: ************************"), 400, ""},
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
		})
	}
	if got := r.dial(codec.MsgPack); got == nil {
		t.Error("the node serves no more")
	}
}

func TestTooManyConnections(t *testing.T) {
	r := newRig(t, stream.Config{MaxConnections: 1})
	r.dial(codec.MsgPack)
	resp := r.raw().handshake(goodHandshake()...)
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("got %s %v", resp.Status, resp.Header)
	}
}

func TestBytesBehindTheHandshakeAreNotLost(t *testing.T) {
	r := newRig(t, stream.Config{})
	w := r.raw()
	w.write(append([]byte(strings.Join(append(goodHandshake(), "Sec-WebSocket-Protocol: tickcast.v1.json"), "\r\n")+"\r\n\r\n"), clientFrame(0x81, []byte(`{"op":"ping","id":5}`))...))
	if _, err := http.ReadResponse(w.br, nil); err != nil {
		t.Fatal(err)
	}
	for {
		if text := string(w.until(1)); strings.Contains(text, `["pong",5,`) {
			return
		}
	}
}

func deflate(t *testing.T, b []byte) []byte {
	var out bytes.Buffer
	fw, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fw.Write(b)
	_ = fw.Flush()
	return bytes.TrimSuffix(out.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// TestFramesAgainstTheProtocol sends one illegal thing each and wants the close code of
// RFC 6455, from a node that lives on.
func TestFramesAgainstTheProtocol(t *testing.T) {
	r := newRig(t, stream.Config{})
	ok := []byte(`{"op":"ping"}`)
	unmasked := append(header(0x81, false, len(ok)), ok...)
	join := func(frames ...[]byte) []byte { return bytes.Join(frames, nil) }
	for _, tt := range []struct {
		name    string
		deflate bool
		bytes   []byte
		code    int
	}{
		{"unmasked", false, unmasked, 1002},
		{"reserved bit 1", false, clientFrame(0xc1, ok), 1002},
		{"reserved bit 2", false, clientFrame(0xa1, ok), 1002},
		{"reserved bit 2 with deflate", true, clientFrame(0xa1, ok), 1002},
		{"reserved bit 1 on a ping with deflate", true, clientFrame(0xc9, nil), 1002},
		{"reserved bit 1 on a continuation", true, join(clientFrame(0x41, deflate(t, ok)), clientFrame(0xc0, nil)), 1002},
		{"reserved opcode 3", false, clientFrame(0x83, ok), 1002},
		{"reserved control opcode 11", false, clientFrame(0x8b, nil), 1002},
		{"ping of 126 bytes", false, clientFrame(0x89, make([]byte, 126)), 1002},
		{"fragmented ping", false, clientFrame(0x09, nil), 1002},
		{"continuation of nothing", false, clientFrame(0x80, ok), 1002},
		{"message inside a message", false, join(clientFrame(0x01, ok), clientFrame(0x81, ok)), 1002},
		{"length with its top bit set", false, append([]byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0}, maskKey[:]...), 1002},
		{"length of 2^62", false, append([]byte{0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0}, maskKey[:]...), 1009},
		{"one byte too long, declared only", false, append(header(0x81, true, 64<<10+1), maskKey[:]...), 1009},
		{"too long in fragments", false, join(clientFrame(0x01, make([]byte, 40<<10)), append(header(0x80, true, 40<<10), maskKey[:]...)), 1009},
		{"inflates to too much", true, clientFrame(0xc1, deflate(t, make([]byte, 1<<20))), 1009},
		{"broken deflate", true, clientFrame(0xc1, []byte{0xff, 0xff, 0xff}), 1007},
		{"text that is no UTF-8", false, clientFrame(0x81, []byte{0xff, 0xfe}), 1007},
		{"close with a code of one byte", false, clientFrame(0x88, []byte{3}), 1002},
		{"close with code 1005", false, clientFrame(0x88, []byte{0x03, 0xed}), 1002},
		{"close with a reason that is no UTF-8", false, clientFrame(0x88, []byte{0x03, 0xe8, 0xff}), 1007},
		{"close", false, clientFrame(0x88, []byte{0x03, 0xe8, 'b', 'y', 'e'}), 1000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := r.raw()
			if tt.deflate {
				w.upgrade("Sec-WebSocket-Extensions: permessage-deflate")
			} else {
				w.upgrade()
			}
			w.write(tt.bytes)
			if code := w.closed(); code != tt.code {
				t.Errorf("close code %d, want %d", code, tt.code)
			}
		})
	}
	r.dial(codec.MsgPack).quiet("the node lives on")
}

func TestFramesWithinTheProtocol(t *testing.T) {
	r := newRig(t, stream.Config{})
	w := r.raw()
	w.upgrade("Sec-WebSocket-Protocol: tickcast.v1.json", "Sec-WebSocket-Extensions: permessage-deflate")
	w.until(1) // hello
	pong := func(id int) {
		t.Helper()
		if text := string(w.until(1)); !strings.Contains(text, fmt.Sprintf(`["pong",%d,`, id)) {
			t.Errorf("got %s, want pong %d", text, id)
		}
	}
	// A ping between fragments, one byte at a time.
	all := append(clientFrame(0x01, []byte(`{"op":"pi`)), clientFrame(0x89, []byte("between"))...)
	all = append(all, clientFrame(0x80, []byte(`ng","id":1}`))...)
	for _, b := range all {
		w.write([]byte{b})
	}
	if p := string(w.until(10)); p != "between" {
		t.Errorf("pong payload %q", p)
	}
	pong(1)
	w.write(clientFrame(0x89, nil))
	if p := w.until(10); len(p) != 0 {
		t.Errorf("pong payload %q", p)
	}
	w.write(clientFrame(0x8a, []byte("nobody asked"))) // an unsolicited pong is legal
	w.write(clientFrame(0xc1, deflate(t, []byte(`{"op":"ping","id":2}`))))
	pong(2)
	w.write(clientFrame(0x81, []byte(`{"op":"ping","id":3}`+strings.Repeat(" ", 60<<10)))) // 16-bit length
	pong(3)
	long := []byte(`{"op":"ping","id":4}` + strings.Repeat(" ", 64<<10-20)) // the most there may be
	w.write(clientFrame(0x81, long))
	pong(4)
	w.frame(true, 8, nil)
	if p := w.until(8); len(p) != 0 {
		t.Errorf("a close without a code is answered by one: %q", p)
	}
}
