package wire

import (
	"bufio"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6455 says so
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// An Offer is what a client asks for in its upgrade request.
type Offer struct {
	Subprotocol string // "" = none
	Deflate     bool
	Header      http.Header // more lines; may be nil
}

// Open asks for an upgrade and reads the answer. rest is what came behind it.
func Open(c net.Conn, u *url.URL, o Offer) (deflate bool, rest []byte, err error) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	var req strings.Builder
	fmt.Fprintf(&req, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n", u.RequestURI(), u.Host, key)
	if o.Subprotocol != "" {
		fmt.Fprintf(&req, "Sec-WebSocket-Protocol: %s\r\n", o.Subprotocol)
	}
	if o.Deflate {
		req.WriteString("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n")
	}
	_ = o.Header.Write(&req)
	req.WriteString("\r\n")
	if _, err := io.WriteString(c, req.String()); err != nil {
		return false, nil, err
	}
	br := bufio.NewReaderSize(c, 1024)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return false, nil, err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-Websocket-Accept") != accept(key) {
		return false, nil, fmt.Errorf("the upgrade was answered with %s", resp.Status)
	}
	rest, _ = br.Peek(br.Buffered())
	return strings.HasPrefix(resp.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate"), rest, nil
}

// Accept answers the upgrade request that c brings, as barely as a server can. The reader
// holds what came behind it.
func Accept(c net.Conn) (*bufio.Reader, error) {
	br := bufio.NewReaderSize(c, 1024)
	req, err := http.ReadRequest(br)
	if err != nil {
		return nil, err
	}
	protocol := ""
	if p, _, _ := strings.Cut(req.Header.Get("Sec-Websocket-Protocol"), ","); p != "" {
		protocol = "Sec-WebSocket-Protocol: " + p + "\r\n"
	}
	_, err = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
		accept(req.Header.Get("Sec-Websocket-Key")), protocol)
	return br, err
}

func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455 says so
	return base64.StdEncoding.EncodeToString(sum[:])
}

// ReadMasked reads one client's frame of up to 64 KiB and returns its payload.
func ReadMasked(br *bufio.Reader) (op byte, payload []byte, err error) {
	var head [8]byte
	if _, err = io.ReadFull(br, head[:2]); err != nil {
		return 0, nil, err
	}
	op = head[0] & 0x0f
	n := int(head[1] & 0x7f)
	switch {
	case head[1]&0x80 == 0 || n == 127:
		return 0, nil, fmt.Errorf("wire: a client's frame of opcode %d is unmasked or above 64 KiB", op)
	case n == 126:
		if _, err = io.ReadFull(br, head[:2]); err != nil {
			return 0, nil, err
		}
		n = int(binary.BigEndian.Uint16(head[:]))
	}
	if _, err = io.ReadFull(br, head[:4]); err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	if _, err = io.ReadFull(br, payload); err != nil {
		return 0, nil, err
	}
	for i := range payload {
		payload[i] ^= head[i&3]
	}
	return op, payload, nil
}
