package eventloop

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
	"pgregory.net/rapid"
)

const testLimit = 1000

// clientFrame builds what a client would send. b0 is FIN, RSV and opcode.
func clientFrame(b0 byte, payload string) []byte {
	f := AppendFrameHeader(nil, 0, len(payload), false)
	f[0] = b0
	f[1] |= bitMask
	key := []byte{0x12, 0xd4, 0x00, 0x9b}
	f = append(f, key...)
	for i := range len(payload) {
		f = append(f, payload[i]^key[i%4])
	}
	return f
}

func clientFrames(frames ...[]byte) []byte { return slices.Concat(frames...) }

func deflated(s string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestSpeed)
	_, _ = w.Write([]byte(s))
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// A heard is what a reader made of a stream: messages and control frames in words, and how
// it ended: "open", "close <code>" or "fault <code>".
type heard struct {
	events []string
	end    string
	fault  *fault
}

func (h heard) String() string { return strings.Join(append(slices.Clone(h.events), h.end), ", ") }

// hear feeds stream to a reader in pieces of the lengths that cut gives.
func hear(r *frameReader, stream []byte, cut func() int) heard {
	stream = bytes.Clone(stream)
	h := heard{end: "open"}
	for len(stream) > 0 {
		piece := stream[:min(cut(), len(stream))]
		stream = stream[len(piece):]
		for {
			var ev event
			ev, piece = r.next(piece)
			switch ev.kind {
			case kindMessage:
				h.events = append(h.events, fmt.Sprintf("message %v %q", ev.text, ev.payload))
				continue
			case kindPing:
				h.events = append(h.events, fmt.Sprintf("ping %q", ev.payload))
				continue
			case kindPong:
				h.events = append(h.events, fmt.Sprintf("pong %q", ev.payload))
				continue
			case kindClose:
				h.end = fmt.Sprintf("close %d", ev.code)
				return h
			case kindFault:
				h.end, h.fault = fmt.Sprintf("fault %d", ev.fault.code), ev.fault
				return h
			}
			break
		}
	}
	return h
}

func allAtOnce() int { return 1 << 30 }
func byteByByte() int {
	return 1
}

func TestReader(t *testing.T) {
	long := strings.Repeat("x", 300)
	key := string([]byte{0, 0, 0, 0})
	for _, tt := range []struct {
		name, want string
		stream     []byte
		deflate    bool
	}{
		{"a text", `message true "hello", open`, clientFrame(0x81, "hello"), false},
		{"a binary message", `message false "\xff\x00", open`, clientFrame(0x82, "\xff\x00"), false},
		{"an empty message", `message true "", open`, clientFrame(0x81, ""), false},
		{"a 16-bit length", `message true "` + long + `", open`, clientFrame(0x81, long), false},
		{"a length longer than need be", `message true "ab", message true "cd", open`,
			[]byte("\x81\xfe\x00\x02" + key + "ab\x81\xff\x00\x00\x00\x00\x00\x00\x00\x02" + key + "cd"), false},
		{"fragments are one message", `message true "abcdef", open`,
			clientFrames(clientFrame(0x01, "ab"), clientFrame(0x00, ""), clientFrame(0x00, "cd"), clientFrame(0x80, "ef")), false},
		{"control frames between fragments", `ping "p", pong "q", message false "abcd", open`,
			clientFrames(clientFrame(0x02, "ab"), clientFrame(0x89, "p"), clientFrame(0x8a, "q"), clientFrame(0x80, "cd")), false},
		{"a rune across fragments", `message true "€", open`,
			clientFrames(clientFrame(0x01, "\xe2"), clientFrame(0x00, "\x82"), clientFrame(0x80, "\xac")), false},
		{"an unfinished rune", `fault 1007`, clientFrames(clientFrame(0x01, "a\xe2\x82"), clientFrame(0x80, "")), false},
		{"text that is not UTF-8 is refused as it arrives", `fault 1007`, clientFrame(0x01, "a\xff"), false},
		{"a rune that nothing can complete is refused as it arrives", `fault 1007`, clientFrame(0x01, "a\xf4\x90"), false},
		{"a surrogate", `fault 1007`, clientFrame(0x81, "\xed\xa0\x80"), false},
		{"not masked", `fault 1002`, []byte("\x81\x01a"), false},
		{"RSV1 without compression", `fault 1002`, clientFrame(0xc1, "a"), false},
		{"RSV2", `fault 1002`, clientFrame(0xa1, "a"), true},
		{"RSV3", `fault 1002`, clientFrame(0x91, "a"), true},
		{"RSV1 on a control frame", `fault 1002`, clientFrame(0xc9, "a"), true},
		{"RSV1 on a continuation", `fault 1002`, clientFrames(clientFrame(0x01, "a"), clientFrame(0xc0, "b")), true},
		{"a reserved data opcode", `fault 1002`, clientFrame(0x83, ""), false},
		{"a reserved control opcode", `fault 1002`, clientFrame(0x8b, ""), false},
		{"a fragmented ping", `fault 1002`, clientFrame(0x09, ""), false},
		{"a ping of 126 bytes", `fault 1002`, clientFrame(0x89, strings.Repeat("x", 126)), false},
		{"a continuation of nothing", `fault 1002`, clientFrame(0x80, "a"), false},
		{"a message inside a message", `fault 1002`, clientFrames(clientFrame(0x01, "a"), clientFrame(0x81, "b")), false},
		{"a length with the top bit set", `fault 1002`, []byte("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x01" + key), false},
		{"too big when declared", `fault 1009`, []byte("\x82\xfe\x03\xe9" + key), false},
		{"2^62 bytes", `fault 1009`, []byte("\x82\xff\x40\x00\x00\x00\x00\x00\x00\x01" + key), false},
		{"the limit itself", `message true "` + strings.Repeat("x", testLimit) + `", open`, clientFrame(0x81, strings.Repeat("x", testLimit)), false},
		{"too big in sum, when declared", `fault 1009`,
			clientFrames(clientFrame(0x01, strings.Repeat("x", testLimit-5)), clientFrame(0x80, "123456")[:6]), false},
		{"a close without a code", `close 1005`, clientFrame(0x88, ""), false},
		{"a close with code and reason", `close 1000`, clientFrame(0x88, "\x03\xe8bye"), false},
		{"an application's code", `close 4999`, clientFrame(0x88, "\x13\x87"), false},
		{"a close of one byte", `fault 1002`, clientFrame(0x88, "\x03"), false},
		{"a code that may not be sent", `fault 1002`, clientFrame(0x88, "\x03\xed"), false},
		{"a code of nobody's", `fault 1002`, clientFrame(0x88, "\x03\xf8"), false},
		{"a close reason that is not UTF-8", `fault 1007`, clientFrame(0x88, "\x03\xe8\xff"), false},
		{"nothing is read after a close", `close 1000`, clientFrames(clientFrame(0x88, "\x03\xe8"), clientFrame(0x81, "a")), false},
		{"a compressed message", `message true "hello hello hello", open`, clientFrame(0xc1, deflated("hello hello hello")), true},
		{"compressed and fragmented", `ping "", message true "hello hello", message false "b", open`,
			clientFrames(clientFrame(0x41, deflated("hello hello")[:3]), clientFrame(0x89, ""), clientFrame(0x80, deflated("hello hello")[3:]), clientFrame(0x82, "b")), true},
		{"each compressed by itself", `message true "hello", message true "hello", open`,
			clientFrames(clientFrame(0xc1, deflated("hello")), clientFrame(0xc1, deflated("hello"))), true},
		{"a last block is the end", `message true "Hello", open`, clientFrame(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), true},
		{"inflates to the limit", `message false "` + strings.Repeat("x", testLimit) + `", open`, clientFrame(0xc2, deflated(strings.Repeat("x", testLimit))), true},
		{"inflates to more", `fault 1009`, clientFrame(0xc2, deflated(strings.Repeat("x", testLimit+1))), true},
		{"inflates to a million", `fault 1009`, clientFrame(0xc2, deflated(strings.Repeat("x", 1e6))[:900]), true},
		{"compressed text that is not UTF-8", `fault 1007`, clientFrame(0xc1, deflated("a\xff")), true},
		{"corrupt compression", `fault 1007`, clientFrame(0xc2, "\xff\xff\xff"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, cut := range []func() int{allAtOnce, byteByByte} {
				r := testReader(tt.deflate)
				got := hear(r, tt.stream, cut)
				if got.String() != tt.want {
					t.Errorf("got %v, want %v", got, tt.want)
				}
				if got.end == "open" && !r.idle() {
					t.Errorf("the reader is not idle between messages")
				}
			}
		})
	}
}

// Whatever is sent in whatever frames, cut anywhere, is what is heard.
func TestReaderHearsWhatWasSent(t *testing.T) {
	var inf inflater
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		var want []string
		for range rapid.IntRange(0, 5).Draw(t, "messages") {
			op, payload := OpText, rapid.StringN(0, -1, testLimit).Draw(t, "text")
			if rapid.Bool().Draw(t, "binary") {
				op, payload = OpBinary, string(rapid.SliceOfN(rapid.Byte(), 0, testLimit).Draw(t, "bytes"))
			}
			message := fmt.Sprintf("message %v %q", op == OpText, payload)
			b0 := op
			if rapid.Bool().Draw(t, "compressed") && len(deflated(payload)) <= testLimit {
				b0, payload = op|bitCompressed, deflated(payload)
			}
			for more := true; more; b0 = 0 {
				if more = rapid.IntRange(0, 2).Draw(t, "more") > 0; !more {
					stream = append(stream, clientFrame(b0|bitFin, payload)...)
					break
				}
				n := rapid.IntRange(0, len(payload)).Draw(t, "fragment")
				stream = append(stream, clientFrame(b0, payload[:n])...)
				payload = payload[n:]
				if rapid.Bool().Draw(t, "ping") {
					stream = append(stream, clientFrame(0x89, "abc")...)
					want = append(want, `ping "abc"`)
				}
			}
			want = append(want, message)
		}
		r := &frameReader{limit: testLimit, inflater: &inf}
		got := hear(r, stream, func() int { return rapid.IntRange(1, 400).Draw(t, "piece") })
		if !slices.Equal(got.events, want) || got.end != "open" || !r.idle() {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestUnmaskInPieces(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 200 {
		key := rng.Uint32()
		keyBytes := binary.LittleEndian.AppendUint32(nil, key)
		plain, masked := make([]byte, n), make([]byte, n)
		for i := range plain {
			plain[i] = byte(rng.Uint32())
			masked[i] = plain[i] ^ keyBytes[i%4]
		}
		for k, rest := key, masked; len(rest) > 0; {
			piece := rest[:1+rng.IntN(len(rest))]
			rest = rest[len(piece):]
			k = unmask(piece, k)
		}
		if !bytes.Equal(masked, plain) {
			t.Fatalf("%d bytes: got %x, want %x", n, masked, plain)
		}
	}
}

func TestFrameHeader(t *testing.T) {
	for _, tt := range []struct {
		op         byte
		n          int
		compressed bool
		want       string
	}{
		{OpText, 0, false, "\x81\x00"},
		{OpBinary, 125, false, "\x82\x7d"},
		{OpBinary, 126, true, "\xc2\x7e\x00\x7e"},
		{OpText, 65535, false, "\x81\x7e\xff\xff"},
		{OpText, 65536, false, "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"},
	} {
		if got := AppendFrameHeader(nil, tt.op, tt.n, tt.compressed); string(got) != tt.want {
			t.Errorf("op %d, %d bytes: got %x, want %x", tt.op, tt.n, got, tt.want)
		}
	}
}

func TestCloseReasonIsCutAtARune(t *testing.T) {
	for _, tt := range []struct {
		reason string
		want   int
	}{
		{"", 0}, {strings.Repeat("a", 123), 123}, {strings.Repeat("a", 124), 123},
		{strings.Repeat("€", 50), 123}, {"a" + strings.Repeat("€", 50), 121}, {strings.Repeat("\x80", 200), 0},
	} {
		f := appendClose(nil, 4408, tt.reason)
		if got := len(f) - 4; got != tt.want || int(f[1]) != got+2 {
			t.Errorf("%q: cut to %d bytes in a frame of %d, want %d", tt.reason, got, f[1], tt.want)
		}
	}
}

func TestReaderKeepsNothingForALengthAlone(t *testing.T) {
	r := &frameReader{limit: 64 << 10}
	hear(r, clientFrame(0x82, strings.Repeat("x", 60_000))[:100], allAtOnce)
	if cap(r.msg) > 1<<10 {
		t.Errorf("%d bytes kept for 100 received", cap(r.msg))
	}
}

func TestReaderAllocatesNothingForAWholeMessage(t *testing.T) {
	r := &frameReader{limit: testLimit, inflater: new(inflater)}
	plain, packed := clientFrame(0x81, "hello"), clientFrame(0xc1, deflated("hello"))
	buf := make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		for _, f := range [][]byte{plain, packed} {
			if ev, _ := r.next(buf[:copy(buf, f)]); ev.kind != kindMessage {
				t.Fatal(ev.kind)
			}
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkReader(b *testing.B) {
	for _, n := range []int{16, 200, 4 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", n), func(b *testing.B) {
			r := &frameReader{limit: 64 << 10}
			frame := clientFrame(0x81, strings.Repeat("x", n))
			buf := make([]byte, len(frame))
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				copy(buf, frame)
				if ev, _ := r.next(buf); len(ev.payload) != n {
					b.Fatal(ev.kind)
				}
			}
		})
	}
}
