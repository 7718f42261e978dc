package stream_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/klauspost/compress/flate"

	"github.com/tickcast/tickcast/pkg/stream"
)

// A conversation is what a client sends behind its handshake, and what it hears until the
// connection ends: "pong(x)" for a pong frame, "answer(1)" and "error(4400)" for an answer to
// a request, "close(1002)" for a close frame. A ping request stands in for the echo that
// other servers are tested by.
type conversation struct {
	name string
	send []byte
	want string
}

// converse holds each conversation once with everything in one piece, and once a byte at a
// time. Those that the server is not to end are ended by the client, when it has had an
// answer to a last request.
func converse(t *testing.T, deflated bool, all []conversation) {
	t.Helper()
	r := newRig(t, stream.Config{RequestsPerSecond: 1_000_000})
	for _, tt := range all {
		t.Run(tt.name, func(t *testing.T) {
			for _, piece := range []int{len(tt.send), 1} {
				if piece == 1 && len(tt.send) > 600 {
					continue
				}
				w := r.raw()
				w.t = t
				w.speak(deflated)
				send, want := tt.send, tt.want
				lives := !strings.Contains(want, "close(")
				if lives {
					send = join(send, request(999))
					want = strings.TrimSpace(want + " answer(999) close(1000)")
				}
				for len(send) > 0 {
					n := min(max(1, piece), len(send))
					if _, err := w.Write(send[:n]); err != nil {
						break // closed by now, as what is heard shows
					}
					send = send[n:]
				}
				if got := w.hear(deflated, lives); got != want {
					t.Errorf("in pieces of %d: heard %q, want %q", piece, got, want)
				}
			}
		})
	}
}

func (w *wire) speak(deflated bool) {
	w.t.Helper()
	lines := []string{"Sec-WebSocket-Protocol: tickcast.v1.json"}
	if deflated {
		lines = append(lines, "Sec-WebSocket-Extensions: permessage-deflate")
	}
	w.upgrade(lines...)
	w.heard(deflated) // hello
}

// hear follows the server to its end, which must be an orderly one. The last answer is met
// by a close frame if closing says so.
func (w *wire) hear(deflated, closing bool) string {
	w.t.Helper()
	var all []string
	for {
		said, err := w.heard(deflated)
		if errors.Is(err, io.EOF) {
			return strings.Join(all, " ")
		}
		if err != nil {
			w.t.Fatalf("after %q: %v", all, err)
		}
		if said != "" {
			all = append(all, said)
		}
		if closing && strings.HasSuffix(said, "answer(999)") {
			w.write(clientFrame(0x88, []byte{0x03, 0xe8}))
		}
	}
}

// heard reads one frame and holds it against what a server may send.
func (w *wire) heard(deflated bool) (string, error) {
	w.t.Helper()
	b0, payload, err := w.read()
	if err != nil {
		return "", err
	}
	switch b0 {
	case 0x8a:
		return fmt.Sprintf("pong(%s)", payload), nil
	case 0x88:
		if len(payload) == 0 {
			return "close()", nil
		}
		if len(payload) == 1 || len(payload) > 125 || !utf8.Valid(payload[2:]) {
			w.t.Errorf("close frame %q", payload)
		}
		return fmt.Sprintf("close(%d)", binary.BigEndian.Uint16(payload)), nil
	case 0xc1:
		if !deflated {
			w.t.Errorf("compressed, though it was not agreed")
		}
		fr := flate.NewReader(io.MultiReader(bytes.NewReader(payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
		if payload, err = io.ReadAll(fr); err != nil {
			w.t.Errorf("compressed message: %v", err)
		}
	case 0x81:
	default:
		w.t.Errorf("a frame that begins with %#x", b0)
	}
	var events [][]any
	if err := json.Unmarshal(payload, &events); err != nil || !utf8.Valid(payload) {
		w.t.Errorf("message %q: %v", payload, err)
	}
	var all []string
	for _, ev := range events {
		switch ev[0] {
		case "pong":
			all = append(all, fmt.Sprintf("answer(%v)", ev[1]))
		case "err":
			all = append(all, fmt.Sprintf("error(%v)", ev[2]))
		}
	}
	return strings.Join(all, " "), nil
}

func join(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

// ping is a request that is answered; what is behind it is blank, or an unknown field.
func ping(id int, behind string) []byte {
	return fmt.Appendf(nil, `{"op":"ping","id":%d%s}`, id, behind)
}

func request(id int) []byte { return clientFrame(0x81, ping(id, "")) }

// padded is a ping request of exactly n bytes.
func padded(id, n int) []byte {
	p := ping(id, "")
	return append(p, bytes.Repeat([]byte(" "), n-len(p))...)
}

// inFragments sends the payload as frames of n bytes, with what is between put between them.
func inFragments(op byte, payload []byte, n int, between ...byte) []byte {
	var all []byte
	for len(payload) > n {
		all = append(append(all, clientFrame(op, payload[:n])...), between...)
		payload, op = payload[n:], 0
	}
	return append(all, clientFrame(op|0x80, payload)...)
}

func TestFraming(t *testing.T) {
	unmasked := append(header(0x81, false, len(ping(1, ""))), ping(1, "")...)
	var all []conversation
	for _, n := range []int{20, 125, 126, 127, 128, 65535, 65536} {
		all = append(all, conversation{fmt.Sprintf("text of %d bytes", n), clientFrame(0x81, padded(1, n)), "answer(1)"})
	}
	for first := byte(0x90); first < 0xf0 && first >= 0x80; first += 0x10 {
		name := fmt.Sprintf("reserved bits %03b", first>>4&7)
		all = append(all,
			conversation{name + " of text", clientFrame(first|1, ping(1, "")), "close(1002)"},
			conversation{name + " of a ping", clientFrame(first|9, nil), "close(1002)"},
			conversation{name + " of a close", clientFrame(first|8, nil), "close(1002)"},
		)
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		all = append(all, conversation{fmt.Sprintf("opcode %d", op), clientFrame(0x80|op, nil), "close(1002)"})
	}
	converse(t, false, append(all, []conversation{
		{"an empty text is no request", clientFrame(0x81, nil), "error(4400)"},
		{"an empty binary is no request", clientFrame(0x82, nil), "error(4400)"},
		{"binary", clientFrame(0x82, []byte("\x82\xa2op\xa4ping\xa2id\x05")), "answer(5)"},
		{"16 bits of length where 7 would do", join([]byte{0x81, 0x80 | 126, 0, byte(len(ping(1, "")))}, []byte{0, 0, 0, 0}, ping(1, "")), "answer(1)"},
		{"64 bits of length where 7 would do", join([]byte{0x81, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, byte(len(ping(1, "")))}, []byte{0, 0, 0, 0}, ping(1, "")), "answer(1)"},
		{"a mask of zeros", join([]byte{0x81, 0x80 | byte(len(ping(1, ""))), 0, 0, 0, 0}, ping(1, "")), "answer(1)"},
		{"unmasked", unmasked, "close(1002)"},
		{"an unmasked ping", []byte{0x89, 0}, "close(1002)"},
		{"many messages in a segment", join(request(1), request(2), request(3)), "answer(1) answer(2) answer(3)"},
		{"a length with its top bit set", join([]byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0}, maskKey[:]), "close(1002)"},
		{"a length of 2^62", join([]byte{0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0}, maskKey[:]), "close(1009)"},
		{"a byte too long, declared only", join(header(0x81, true, 64<<10+1), maskKey[:]), "close(1009)"},
		{"too long in fragments", join(clientFrame(0x01, make([]byte, 40<<10)), header(0x80, true, 40<<10), maskKey[:]), "close(1009)"},
		{"the most in fragments", inFragments(1, padded(1, 64<<10), 1000), "answer(1)"},
	}...))
}

func TestFragments(t *testing.T) {
	text := ping(1, "")
	half := len(text) / 2
	converse(t, false, []conversation{
		{"two", inFragments(1, text, half), "answer(1)"},
		{"of a byte each", inFragments(1, text, 1), "answer(1)"},
		{"the last is empty", join(clientFrame(0x01, text), clientFrame(0x80, nil)), "answer(1)"},
		{"the first is empty", join(clientFrame(0x01, nil), clientFrame(0x80, text)), "answer(1)"},
		{"all are empty", join(clientFrame(0x01, nil), clientFrame(0x00, nil), clientFrame(0x80, nil)), "error(4400)"},
		{"binary", inFragments(2, []byte("\x82\xa2op\xa4ping\xa2id\x05"), 3), "answer(5)"},
		{"ten thousand empty ones between", join(clientFrame(0x01, text[:half]), bytes.Repeat(clientFrame(0, nil), 10_000), clientFrame(0x80, text[half:])), "answer(1)"},
		{"pings between", inFragments(1, text, 8, clientFrame(0x89, []byte("x"))...), "pong(x) pong(x) answer(1)"},
		{"pongs between", inFragments(1, text, 8, clientFrame(0x8a, []byte("x"))...), "answer(1)"},
		{"a close between", join(clientFrame(0x01, text[:half]), clientFrame(0x88, []byte{0x03, 0xe8})), "close(1000)"},
		{"a continuation of nothing", clientFrame(0x80, text), "close(1002)"},
		{"an unfinished continuation of nothing", clientFrame(0x00, text), "close(1002)"},
		{"a continuation of a whole message", join(clientFrame(0x89, []byte("x")), clientFrame(0x80, nil)), "pong(x) close(1002)"},
		{"a message inside another", join(clientFrame(0x01, text[:half]), clientFrame(0x81, text)), "close(1002)"},
		{"a message begun inside another", join(clientFrame(0x01, text[:half]), clientFrame(0x02, text)), "close(1002)"},
		{"one message behind another", join(inFragments(1, text, half), inFragments(1, ping(2, ""), half)), "answer(1) answer(2)"},
	})
}

func TestControlFrames(t *testing.T) {
	full := strings.Repeat("x", 125)
	converse(t, false, []conversation{
		{"a ping", clientFrame(0x89, []byte("hello")), "pong(hello)"},
		{"an empty ping", clientFrame(0x89, nil), "pong()"},
		{"a ping of bytes that are no text", clientFrame(0x89, []byte("\x00\xff\xfe")), "pong(\x00\xff\xfe)"},
		{"a ping of 125 bytes", clientFrame(0x89, []byte(full)), "pong(" + full + ")"},
		{"a ping of 126 bytes", clientFrame(0x89, []byte(full+"x")), "close(1002)"},
		{"a ping with a length of 64 bits", []byte{0x89, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "close(1002)"},
		{"pings are answered in order", join(clientFrame(0x89, []byte("a")), clientFrame(0x89, []byte("b")), clientFrame(0x89, []byte("c"))), "pong(a) pong(b) pong(c)"},
		{"a pong that nobody asked for", clientFrame(0x8a, []byte("x")), ""},
		{"an unfinished ping", clientFrame(0x09, nil), "close(1002)"},
		{"an unfinished pong", clientFrame(0x0a, nil), "close(1002)"},
		{"an unfinished close", clientFrame(0x08, nil), "close(1002)"},
		{"a ping before a fault", join(clientFrame(0x89, []byte("x")), clientFrame(0x83, nil)), "pong(x) close(1002)"},
		{"a ping behind a fault", join(clientFrame(0x83, nil), clientFrame(0x89, []byte("x"))), "close(1002)"},
	})
}

func TestCloseFrames(t *testing.T) {
	var all []conversation
	code := func(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
	for _, n := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		all = append(all, conversation{fmt.Sprint(n, " is met by the same"), clientFrame(0x88, code(n)), fmt.Sprintf("close(%d)", n)})
	}
	for _, n := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		all = append(all, conversation{fmt.Sprint(n, " is none to send"), clientFrame(0x88, code(n)), "close(1002)"})
	}
	converse(t, false, append(all, []conversation{
		{"without a code", clientFrame(0x88, nil), "close()"},
		{"with half a code", clientFrame(0x88, []byte{3}), "close(1002)"},
		{"with a reason", clientFrame(0x88, append(code(1000), "κόσμε"...)), "close(1000)"},
		{"with the longest reason", clientFrame(0x88, append(code(1000), strings.Repeat("r", 123)...)), "close(1000)"},
		{"with a reason too long", clientFrame(0x88, append(code(1000), strings.Repeat("r", 124)...)), "close(1002)"},
		{"with a reason that is no UTF-8", clientFrame(0x88, append(code(1000), 0xff)), "close(1007)"},
		{"behind a ping", join(clientFrame(0x89, []byte("x")), clientFrame(0x88, code(1001))), "pong(x) close(1001)"},
		{"before a ping", join(clientFrame(0x88, code(1000)), clientFrame(0x89, []byte("x"))), "close(1000)"},
		{"twice", join(clientFrame(0x88, code(1000)), clientFrame(0x88, code(1001))), "close(1000)"},
		{"before nonsense", join(clientFrame(0x88, code(1000)), bytes.Repeat([]byte{0xff}, 300)), "close(1000)"},
		{"before many messages", join(clientFrame(0x88, code(1000)), bytes.Repeat(request(1), 2000)), "close(1000)"},
	}...))
}

func TestText(t *testing.T) {
	// An unknown field holds the text.
	with := func(s string) []byte { return ping(1, `,"x":"`+s+`"`) }
	var all []conversation
	for _, s := range []string{
		"κόσμε", "\u0080", "\u07ff", "\u0800", "\ufffd", "\uffff", "\ud7ff\ue000", "\U00010000", "\U0010ffff", "\U0001f4c8", "\ufdd0", "\x7f",
	} {
		all = append(all,
			conversation{fmt.Sprintf("%+q", s), clientFrame(0x81, with(s)), "answer(1)"},
			conversation{fmt.Sprintf("%+q in fragments of a byte", s), inFragments(1, with(s), 1), "answer(1)"},
		)
	}
	for name, s := range map[string]string{
		"a continuation byte alone": "\x80", "a first byte alone": "\xce", "two bytes for an ASCII character": "\xc0\xaf",
		"three bytes for two": "\xe0\x80\xaf", "four bytes for three": "\xf0\x80\x80\xaf", "five bytes": "\xf8\x88\x80\x80\x80",
		"six bytes": "\xfc\x84\x80\x80\x80\x80", "a surrogate": "\xed\xa0\x80", "a pair of surrogates": "\xed\xa0\x80\xed\xb0\x80",
		"beyond the last": "\xf4\x90\x80\x80", "0xfe": "\xfe", "0xff": "\xff", "a rune cut by ASCII": "\xe2\x82x",
	} {
		all = append(all,
			conversation{name, clientFrame(0x81, with(s)), "close(1007)"},
			conversation{name + " in fragments of a byte", inFragments(1, with(s), 1), "close(1007)"},
			// Nothing more is sent: it must be refused when it arrives.
			conversation{name + ", at once, in an unfinished message", clientFrame(0x01, with(s)), "close(1007)"},
			conversation{name + ", at once, in an unfinished frame", unfinished(with(s)), "close(1007)"},
		)
	}
	converse(t, false, append(all, []conversation{
		{"a rune cut by the message's end", clientFrame(0x81, []byte(`{"op":"ping"}`+"\xe2\x82")), "close(1007)"},
		{"a rune cut by the last fragment's end", join(clientFrame(0x01, []byte("{}\xe2")), clientFrame(0x80, []byte("\x82"))), "close(1007)"},
		{"a rune cut by a ping", join(clientFrame(0x01, []byte(`{"op":"ping","id":1,"x":"`+"\xe2")), clientFrame(0x89, []byte("\xff")), clientFrame(0x80, []byte("\x82\xac\"}"))), "pong(\xff) answer(1)"},
		{"binary is no text", clientFrame(0x82, []byte("\x82\xa2op\xa4ping\xa1\xff\x05")), "error(4400)"},
		{"nor is a fragment of binary", inFragments(2, []byte("\xff\xfe\xfd"), 1), "error(4400)"},
	}...))
}

// unfinished is the beginning of a frame that has more of the payload to come.
func unfinished(payload []byte) []byte {
	f := clientFrame(0x81, append(payload, make([]byte, 100)...))
	return f[:len(f)-100]
}

func TestCompressedMessages(t *testing.T) {
	text := ping(1, "")
	small := deflate(t, text)
	half := len(small) / 2
	bit := byte(0x40)
	converse(t, true, []conversation{
		{"one", clientFrame(0xc1, small), "answer(1)"},
		{"binary", clientFrame(0xc2, deflate(t, []byte("\x82\xa2op\xa4ping\xa2id\x05"))), "answer(5)"},
		{"in two fragments", join(clientFrame(bit|1, small[:half]), clientFrame(0x80, small[half:])), "answer(1)"},
		{"in fragments of a byte", inFragments(bit|1, small, 1), "answer(1)"},
		{"a ping between the fragments", inFragments(bit|1, small, half+1, clientFrame(0x89, []byte("x"))...), "pong(x) answer(1)"},
		{"one that is not, between two that are", join(clientFrame(0xc1, small), request(2), clientFrame(0xc1, deflate(t, ping(3, "")))), "answer(1) answer(2) answer(3)"},
		{"nothing", clientFrame(0xc1, []byte{0}), "error(4400)"},
		{"without compression", clientFrame(0xc1, stored(text)), "answer(1)"},
		{"ended by a last block", clientFrame(0xc1, append(finished(t, text), 0)), "answer(1)"},
		{"in many blocks", clientFrame(0xc1, join(blocks(t, text[:5]), blocks(t, text[5:9]), deflate(t, text[9:]))), "answer(1)"},
		{"as much as there may be", clientFrame(0xc1, deflate(t, padded(1, 64<<10))), "answer(1)"},
		{"a byte more", clientFrame(0xc1, deflate(t, padded(1, 64<<10+1))), "close(1009)"},
		{"a mebibyte in a kibibyte", clientFrame(0xc1, deflate(t, make([]byte, 1<<20))), "close(1009)"},
		{"no data of that kind", clientFrame(0xc1, []byte{0xff, 0xff, 0xff}), "close(1007)"},
		{"a distance before the message", clientFrame(0xc1, []byte{0x02, 0x22, 0x01, 0x00}), "close(1007)"},
		{"text that is no UTF-8", clientFrame(0xc1, deflate(t, []byte("\xff"))), "close(1007)"},
		{"bit 1 of a continuation", join(clientFrame(bit|1, small[:half]), clientFrame(0xc0, small[half:])), "close(1002)"},
		{"bit 1 of a ping", clientFrame(0xc9, nil), "close(1002)"},
		{"bit 1 of a close", clientFrame(0xc8, nil), "close(1002)"},
		{"bit 2", clientFrame(0xa1, text), "close(1002)"},
		{"bits 1 and 3", clientFrame(0xd1, small), "close(1002)"},
		{"a message that is not compressed, at once refused", clientFrame(0x01, []byte("\xff")), "close(1007)"},
	})
}

// stored is a message in a block without compression.
func stored(p []byte) []byte {
	n := uint16(len(p))
	return append(append([]byte{0, byte(n), byte(n >> 8), byte(^n), byte(^n >> 8)}, p...), 0)
}

func blocks(t *testing.T, p []byte) []byte { return append(deflate(t, p), 0, 0, 0xff, 0xff) }

// finished is a message whose last block says that it is the last.
func finished(t *testing.T, p []byte) []byte {
	var out bytes.Buffer
	fw, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fw.Write(p)
	_ = fw.Close()
	return out.Bytes()
}

// Pings may come by the thousand in a segment. Of those that are not answered the last one is.
func TestTenThousandPings(t *testing.T) {
	r := newRig(t, stream.Config{})
	w := r.raw()
	w.speak(false)
	const pings = 10_000
	var all []byte
	for i := range pings {
		all = append(all, clientFrame(0x89, fmt.Append(nil, i))...)
	}
	w.write(append(all, request(999)...))
	last, answered := -1, false
	for last < pings-1 || !answered {
		said, err := w.heard(false)
		if err != nil {
			t.Fatal(err)
		}
		var n int
		switch _, err := fmt.Sscanf(said, "pong(%d)", &n); {
		case said == "answer(999)":
			answered = true
		case err != nil || n <= last:
			t.Fatalf("heard %q behind pong %d", said, last)
		default:
			last = n
		}
	}
}

// Who asks and leaves in one breath is answered. (The other engine answers from a goroutine
// that the close frame may overtake.)
func TestAnswersBeforeTheEnd(t *testing.T) {
	if engine != stream.EngineEpoll {
		return
	}
	converse(t, false, []conversation{
		{"a close", join(request(1), clientFrame(0x88, []byte{0x03, 0xe8})), "answer(1) close(1000)"},
		{"a fault", join(request(1), request(2), clientFrame(0x83, nil)), "answer(1) answer(2) close(1002)"},
	})
}
