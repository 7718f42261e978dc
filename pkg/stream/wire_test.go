package stream_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
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

func TestTooManyConnections(t *testing.T) {
	r := newRig(t, stream.Config{MaxConnections: 1})
	r.dial(codec.MsgPack)
	resp := r.raw().handshake(goodHandshake()...)
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("got %s %v", resp.Status, resp.Header)
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
