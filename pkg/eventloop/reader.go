package eventloop

import (
	"encoding/binary"
	"unicode/utf8"
)

// A fault is what a peer did wrong, and the close code that says so.
type fault struct {
	code int
	text string // also the reason in the close frame
}

func (f *fault) Error() string { return "eventloop: " + f.text }

var (
	errReserved   = &fault{codeProtocol, "reserved bit set"}
	errOpcode     = &fault{codeProtocol, "unknown opcode"}
	errControl    = &fault{codeProtocol, "control frame fragmented or over 125 bytes"}
	errContinues  = &fault{codeProtocol, "continuation of no message"}
	errUnfinished = &fault{codeProtocol, "new message inside a fragmented one"}
	errUnmasked   = &fault{codeProtocol, "frame not masked"}
	errLength     = &fault{codeProtocol, "frame length has its top bit set"}
	errCloseFrame = &fault{codeProtocol, "bad close frame"}
	errTooBig     = &fault{codeTooBig, "message too big"}
	errUTF8       = &fault{codeInvalidData, "text is not UTF-8"}
	errDeflate    = &fault{codeInvalidData, "compressed data is corrupt"}
)

type kind uint8

const (
	kindNone    kind = iota // the bytes are used up, and nothing more is whole
	kindMessage             // payload, text
	kindPing                // payload
	kindPong                // payload
	kindClose               // code, codeNone if the frame had none
	kindFault               // fault
)

// An event is the next thing that a peer said. After kindClose or kindFault the reader must
// not be used again before reset.
type event struct {
	kind    kind
	text    bool
	code    int
	payload []byte // valid until the next call; may lie in the bytes that were given
	fault   *fault
}

// A frameReader decodes what a client sends, cut anywhere, as RFC 6455 wants it. A fault is
// reported at the first byte that shows it: a length when it is declared, text when it
// arrives, so that nothing is kept that will be refused.
//
// Lengths that are not in their shortest form are taken: the RFC forbids sending them and
// does not say to refuse them, they mean only one thing, and the other engine takes them.
type frameReader struct {
	limit    int       // of a message, as sent and as inflated
	inflater *inflater // nil where permessage-deflate was not agreed

	// the frame
	head      [14]byte
	headBytes int  // of head, so far
	inPayload bool // head is whole
	left      int  // of the payload
	key       uint32

	// the control frame, when it came in pieces
	control      [controlBytesMax]byte
	controlBytes int

	// the message
	op         byte // 0 = none begun
	compressed bool
	msg        []byte // earlier pieces, unmasked
	valid      int    // how much of msg is known to be UTF-8

	rest []byte // behind the message, for a later turn; the loop's
}

// idle says that no frame or message has been begun, so that nothing need be kept.
func (r *frameReader) idle() bool { return r.headBytes == 0 && r.op == 0 }

// msgBytesKept bounds what a reader carries from one connection to the next.
const msgBytesKept = 4 << 10

// reset makes r ready for another connection.
func (r *frameReader) reset() {
	msg := r.msg[:0]
	if cap(msg) > msgBytesKept {
		msg = nil
	}
	*r = frameReader{limit: r.limit, msg: msg}
}

// next consumes bytes of p, which it unmasks in place, until something is whole, and returns
// the bytes that are left. It has to be called until it returns kindNone.
func (r *frameReader) next(p []byte) (event, []byte) {
	for {
		if !r.inPayload {
			used, f := r.header(p)
			if f != nil {
				return event{kind: kindFault, fault: f}, nil
			}
			p = p[used:]
			if !r.inPayload {
				return event{}, nil
			}
		}
		part := p[:min(r.left, len(p))]
		p = p[len(part):]
		r.key = unmask(part, r.key)
		r.left -= len(part)
		whole := r.left == 0
		if whole {
			r.headBytes, r.inPayload = 0, false
		}
		var ev event
		if op := r.head[0] & 0xf; op >= opClose {
			ev = r.controlPart(op, part, whole)
		} else {
			ev = r.dataPart(part, whole)
		}
		if ev.kind != kindNone || !whole {
			return ev, p
		}
	}
}

// header takes bytes of p for the frame's header and judges it. It is whole when inPayload
// is set, and with no bytes left in p otherwise.
func (r *frameReader) header(p []byte) (used int, f *fault) {
	if r.headBytes < 2 {
		used = copy(r.head[r.headBytes:2], p)
		if r.headBytes += used; r.headBytes < 2 {
			return used, nil
		}
		if f := r.judge(r.head[0], r.head[1]); f != nil {
			return used, f
		}
	}
	code, lengthBytes := r.head[1]&0x7f, 0
	switch code {
	case 126:
		lengthBytes = 2
	case 127:
		lengthBytes = 8
	}
	need := 2 + lengthBytes + 4
	n := copy(r.head[r.headBytes:need], p[used:])
	used += n
	if r.headBytes += n; r.headBytes < need {
		return used, nil
	}

	length := uint64(code)
	switch code {
	case 126:
		length = uint64(binary.BigEndian.Uint16(r.head[2:]))
	case 127:
		length = binary.BigEndian.Uint64(r.head[2:])
	}
	if length>>63 != 0 {
		return used, errLength
	}
	if op := r.head[0] & 0xf; op < opClose {
		if op != opContinuation {
			r.op, r.compressed = op, r.head[0]&bitCompressed != 0
			r.msg, r.valid = r.msg[:0], 0
		}
		if length > uint64(r.limit-len(r.msg)) {
			return used, errTooBig
		}
	}
	r.left, r.key, r.inPayload = int(length), binary.LittleEndian.Uint32(r.head[need-4:]), true
	return used, nil
}

// judge finds what is wrong with a frame that begins with these two bytes.
func (r *frameReader) judge(b0, b1 byte) *fault {
	op := b0 & 0xf
	switch compressed := b0&bitCompressed != 0; {
	case b0&bitsReserved != 0, compressed && (r.inflater == nil || op != OpText && op != OpBinary):
		return errReserved
	case op > opPong, op > OpBinary && op < opClose:
		return errOpcode
	case op >= opClose && (b0&bitFin == 0 || b1&0x7f > controlBytesMax):
		return errControl
	case op == opContinuation && r.op == 0:
		return errContinues
	case (op == OpText || op == OpBinary) && r.op != 0:
		return errUnfinished
	case b1&bitMask == 0:
		return errUnmasked
	}
	return nil
}

func (r *frameReader) controlPart(op byte, part []byte, whole bool) event {
	if !whole || r.controlBytes > 0 {
		r.controlBytes += copy(r.control[r.controlBytes:], part)
		if !whole {
			return event{}
		}
		part, r.controlBytes = r.control[:r.controlBytes], 0
	}
	switch op {
	case opPing:
		return event{kind: kindPing, payload: part}
	case opPong:
		return event{kind: kindPong, payload: part}
	}
	return closeEvent(part)
}

// closeEvent reads the payload of a close frame.
func closeEvent(p []byte) event {
	if len(p) == 0 {
		return event{kind: kindClose, code: codeNone}
	}
	if len(p) == 1 {
		return event{kind: kindFault, fault: errCloseFrame}
	}
	if !utf8.Valid(p[2:]) {
		return event{kind: kindFault, fault: errUTF8}
	}
	code := int(binary.BigEndian.Uint16(p))
	if !ValidCloseCode(code) {
		return event{kind: kindFault, fault: errCloseFrame}
	}
	return event{kind: kindClose, code: code}
}

// ValidCloseCode says whether a peer may send code: those of the RFC and of IANA's registry
// that are meant for the wire, and the ranges for libraries and applications.
func ValidCloseCode(code int) bool {
	switch {
	case code >= 3000 && code <= 4999:
		return true
	case code >= 1000 && code <= 1014:
		return code != 1004 && code != codeNone && code != codeAbnormal
	}
	return false
}

func (r *frameReader) dataPart(part []byte, whole bool) event {
	last := whole && r.head[0]&bitFin != 0
	if !last || len(r.msg) > 0 {
		r.msg = append(r.msg, part...)
		part = r.msg
	}
	text, compressed := r.op == OpText, r.compressed
	if text && !compressed && !r.checkUTF8(part, last) {
		return event{kind: kindFault, fault: errUTF8}
	}
	if !last {
		return event{}
	}
	r.op, r.msg, r.valid = 0, r.msg[:0], 0
	if compressed {
		var f *fault
		if part, f = r.inflater.inflate(part, r.limit); f == nil && text && !utf8.Valid(part) {
			f = errUTF8
		}
		if f != nil {
			return event{kind: kindFault, fault: f}
		}
	}
	return event{kind: kindMessage, text: text, payload: part}
}

// checkUTF8 looks at what msg has gained.
func (r *frameReader) checkUTF8(msg []byte, last bool) bool {
	n, ok := ValidSoFar(msg[r.valid:])
	r.valid += n
	return ok && (!last || r.valid == len(msg))
}

// ValidSoFar returns how much of the beginning of a text is whole runes, and whether what is
// behind them may still become one. It does not if ok is false, whatever follows.
func ValidSoFar(text []byte) (whole int, ok bool) {
	if utf8.Valid(text) {
		return len(text), true
	}
	cut := len(text) - 1
	for cut > 0 && len(text)-cut < utf8.UTFMax && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return cut, !utf8.FullRune(text[cut:]) && utf8.Valid(text[:cut])
}
