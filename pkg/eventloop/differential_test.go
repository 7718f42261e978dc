package eventloop

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"
)

// FuzzAgainstGws feeds the same bytes to our reader, cut anywhere, and to the read loop of
// the other engine, and wants the same messages and the same verdict, with these exceptions,
// in which gws 1.8.9 is wrong or merely different:
//
//   - it panics at a data frame whose 64-bit length has its top bit set; we say 1002;
//   - where compression was agreed, it looks at no reserved bit; we say 1002;
//   - corrupt or oversized compression is 1011 to it; we say 1007 and 1009;
//   - it judges the length first, and says 1009 of a frame that is also malformed; we say 1002;
//   - it refuses close code 1014, which IANA's registry has;
//   - it judges a frame, and the text in it, only when all of it is there; we do so at once.
//     So it is given what we had read by then, with the frame and the message made whole.
func FuzzAgainstGws(f *testing.F) {
	for _, stream := range [][]byte{
		clientFrame(0x81, "hello"), clientFrame(0x82, strings.Repeat("x", 300)),
		clientFrames(clientFrame(0x01, "a\xe2"), clientFrame(0x89, "p"), clientFrame(0x80, "\x82\xac"), clientFrame(0x88, "\x03\xe8bye")),
		clientFrames(clientFrame(0xc1, deflated("hello hello")), clientFrame(0x41, deflated("xyz")), clientFrame(0x80, "")),
		clientFrame(0x01, "\xf4\x90"), clientFrame(0x83, "abc"), clientFrame(0x88, "\x03"), clientFrame(0x88, "\x03\xf6"),
		[]byte("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x01abcdefgh"), []byte("\x81\x01a"),
		clientFrame(0x82, strings.Repeat("x", testLimit+1)), clientFrame(0xc2, deflated(strings.Repeat("x", testLimit+1))),
	} {
		for _, deflate := range []bool{false, true} {
			f.Add(stream, uint64(3), deflate, false)
		}
	}
	f.Add([]byte("\x01\x03\x00abc\x89\x01\x00p\x80\x02\x01de"), uint64(1), false, true)
	f.Add([]byte("\xc1\x05\x02\xf2\x48\x04\x01\x00\x88\x02\x00\x03\xe9"), uint64(9), true, true)

	f.Fuzz(func(t *testing.T, stream []byte, seed uint64, deflate, build bool) {
		if build {
			stream = framesFrom(stream)
		}
		ours := hear(testReader(deflate), stream, func() int {
			seed = seed*6364136223846793005 + 1442695040888963407
			return 1 + int(seed>>33)%29
		})
		taken := 0
		again := hear(testReader(deflate), stream, func() int { taken++; return 1 })
		if ours.String() != again.String() {
			t.Errorf("in pieces: %v\nbyte by byte: %v\nstream: %x", ours, again, stream)
		}
		if ours.fault != nil {
			stream = madeWhole(stream[:taken])
		}
		theirs := hearGws(stream, deflate)
		if !agree(ours, theirs, deflate) {
			t.Errorf("ours: %v (%v)\ngws:  %v\nstream: %x", ours, ours.fault, theirs, stream)
		}
	})
}

func testReader(deflate bool) *frameReader {
	r := &frameReader{limit: testLimit}
	if deflate {
		r.inflater = new(inflater)
	}
	return r
}

func agree(ours, theirs heard, deflate bool) bool {
	switch ours.fault {
	case errReserved:
		if n := len(ours.events); deflate {
			return len(theirs.events) >= n && slices.Equal(theirs.events[:n], ours.events)
		}
	case errLength:
		return slices.Equal(ours.events, theirs.events) && theirs.end == "panic"
	case errDeflate, errTooBig:
		if theirs.end == "fault 1011" {
			theirs.end = ours.end
		}
	}
	if ours.fault != nil && ours.fault.code == codeProtocol && theirs.end == "fault 1009" {
		theirs.end = ours.end
	}
	if ours.end == "close 1014" && theirs.end == "fault 1002" {
		theirs.end = ours.end
	}
	return ours.String() == theirs.String()
}

// framesFrom reads data as a recipe, so that most of what the fuzzer tries is nearly right:
// the first byte of a frame, how long it is, how that is said, and the payload.
func framesFrom(data []byte) []byte {
	var stream []byte
	for len(data) >= 3 {
		b0, n, how := data[0], int(data[1]), data[2]
		data = data[3:]
		if how&0x40 != 0 {
			n *= 8
		}
		payload := data[:min(n, len(data))]
		data = data[len(payload):]
		switch how & 3 {
		case 0:
			stream = append(stream, clientFrame(b0, string(payload))...)
		case 1:
			stream = binary.BigEndian.AppendUint16(append(stream, b0, 0x80|126), uint16(len(payload)))
			stream = append(append(stream, 0, 0, 0, 0), payload...)
		case 2:
			stream = binary.BigEndian.AppendUint64(append(stream, b0, 0x80|127), uint64(len(payload)))
			stream = append(append(stream, 0, 0, 0, 0), payload...)
		case 3:
			if b0 = b0&0x8f | bitCompressed; b0&0xf == 0 {
				b0 &^= bitCompressed
			}
			stream = append(stream, clientFrame(b0, deflated(string(payload)))...)
		}
		if how == 0xff && len(stream) > 2 {
			stream = stream[:len(stream)-1]
		}
	}
	return stream
}

// madeWhole completes the last frame of stream, and its message.
func madeWhole(stream []byte) []byte {
	whole := bytes.Clone(stream)
	for at := 0; at < len(stream); {
		for len(whole) < at+14 {
			whole = append(whole, 0)
		}
		head, length := 2, uint64(whole[at+1]&0x7f)
		switch length {
		case 126:
			head, length = 4, uint64(binary.BigEndian.Uint16(whole[at+2:]))
		case 127:
			head, length = 10, binary.BigEndian.Uint64(whole[at+2:])
		}
		if whole[at+1]&bitMask != 0 {
			head += 4
		}
		if length > testLimit {
			return whole
		}
		at += head + int(length)
		if at >= len(stream) {
			whole = append(whole, make([]byte, max(0, at-len(whole)))...)[:at]
		}
	}
	return append(whole, bitFin, bitMask, 0, 0, 0, 0)
}

// hearGws lets gws read the stream.
func hearGws(stream []byte, deflate bool) (h heard) {
	ear := &gwsEar{}
	conn := &memoryConn{in: bytes.NewReader(stream)}
	upgrader := gwsPlain
	request := &http.Request{Method: http.MethodGet, Header: http.Header{
		"Sec-Websocket-Version": {"13"}, "Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}}
	if deflate {
		upgrader = gwsDeflate
		request.Header.Set("Sec-Websocket-Extensions", "permessage-deflate; client_no_context_takeover; server_no_context_takeover")
	}
	socket, err := upgrader.UpgradeFromConn(conn, bufio.NewReader(conn), request)
	if err != nil {
		panic(err)
	}
	socket.Session().Store("ear", ear)
	conn.out = nil // the answer to the handshake
	defer func() {
		if recover() != nil {
			ear.end = "panic"
		}
		h = ear.heard
	}()
	socket.ReadLoop()

	code := codeNone
	if len(conn.out) >= 4 {
		code = int(binary.BigEndian.Uint16(conn.out[2:]))
	}
	var closed *gws.CloseError
	switch {
	case code == 1000 && (errors.Is(ear.err, io.EOF) || errors.Is(ear.err, io.ErrUnexpectedEOF)):
		ear.end = "open"
	case errors.As(ear.err, &closed) && code != codeProtocol && code != codeInvalidData:
		if ear.end = fmt.Sprintf("close %d", closed.Code); closed.Code == 0 {
			ear.end = fmt.Sprintf("close %d", codeNone)
		}
	default:
		ear.end = fmt.Sprintf("fault %d", code)
	}
	return ear.heard
}

var gwsPlain, gwsDeflate = newGws(false), newGws(true)

func newGws(deflate bool) *gws.Upgrader {
	return gws.NewUpgrader(earOf{}, &gws.ServerOption{
		ReadMaxPayloadSize: testLimit, CheckUtf8Enabled: true,
		PermessageDeflate: gws.PermessageDeflate{Enabled: deflate, PoolSize: 4},
	})
}

type gwsEar struct {
	heard
	err error
}

// earOf is the handler of all gws connections; each finds its own ear.
type earOf struct{}

func (earOf) ear(c *gws.Conn) *gwsEar {
	ear, _ := c.Session().Load("ear")
	return ear.(*gwsEar)
}

func (e earOf) hear(c *gws.Conn, format string, args ...any) {
	ear := e.ear(c)
	ear.events = append(ear.events, fmt.Sprintf(format, args...))
}

func (e earOf) OnOpen(*gws.Conn)               {}
func (e earOf) OnClose(c *gws.Conn, err error) { e.ear(c).err = err }
func (e earOf) OnPing(c *gws.Conn, p []byte)   { e.hear(c, "ping %q", p) }
func (e earOf) OnPong(c *gws.Conn, p []byte)   { e.hear(c, "pong %q", p) }
func (e earOf) OnMessage(c *gws.Conn, m *gws.Message) {
	e.hear(c, "message %v %q", m.Opcode == gws.OpcodeText, m.Bytes())
	_ = m.Close()
}

// A memoryConn reads what a peer sent long ago and remembers what is written.
type memoryConn struct {
	in  *bytes.Reader
	out []byte
}

func (c *memoryConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *memoryConn) Write(p []byte) (int, error)      { c.out = append(c.out, p...); return len(p), nil }
func (c *memoryConn) Close() error                     { return nil }
func (c *memoryConn) LocalAddr() net.Addr              { return nil }
func (c *memoryConn) RemoteAddr() net.Addr             { return nil }
func (c *memoryConn) SetDeadline(time.Time) error      { return nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }
