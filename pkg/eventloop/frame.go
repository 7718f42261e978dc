package eventloop

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// The opcodes of the frames that AppendFrameHeader begins.
const (
	OpText   byte = 1
	OpBinary byte = 2
)

const (
	opContinuation byte = 0
	opClose        byte = 8
	opPing         byte = 9
	opPong         byte = 10
)

// The close codes of RFC 6455 that the package itself sends or reports.
const (
	codeGoingAway   = 1001
	codeProtocol    = 1002
	codeNone        = 1005 // a close frame without a code; never sent
	codeAbnormal    = 1006 // no close frame at all; never sent
	codeInvalidData = 1007
	codeTooBig      = 1009
)

const (
	bitFin        = 0x80
	bitCompressed = 0x40 // RSV1, of the first frame of a message (RFC 7692)
	bitsReserved  = 0x30 // RSV2 and RSV3
	bitMask       = 0x80

	controlBytesMax = 125
)

// FrameHeaderMax is the most that AppendFrameHeader appends.
const FrameHeaderMax = 10

// AppendFrameHeader appends the header of a server's frame that is a whole message of n
// payload bytes. compressed says that the payload is raw DEFLATE without its last four bytes
// (RFC 7692), which the peer must have agreed to.
func AppendFrameHeader(dst []byte, op byte, n int, compressed bool) []byte {
	b0 := bitFin | op
	if compressed {
		b0 |= bitCompressed
	}
	switch {
	case n <= controlBytesMax:
		return append(dst, b0, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, b0, 126), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, b0, 127), uint64(n))
}

// appendClose appends a close frame; without a code when code is 0. A reason that does not
// fit is cut at a rune.
func appendClose(dst []byte, code int, reason string) []byte {
	if code == 0 {
		return AppendFrameHeader(dst, opClose, 0, false)
	}
	if cut := controlBytesMax - 2; len(reason) > cut {
		for cut > 0 && !utf8.RuneStart(reason[cut]) {
			cut--
		}
		reason = reason[:cut]
	}
	dst = AppendFrameHeader(dst, opClose, 2+len(reason), false)
	return append(binary.BigEndian.AppendUint16(dst, uint16(code)), reason...)
}

// unmask undoes a client's masking in place. The key's lowest byte goes with p[0]; the key
// for the byte after p is returned, so that a payload can come in pieces.
func unmask(p []byte, key uint32) uint32 {
	wide := uint64(key)<<32 | uint64(key)
	for len(p) >= 32 {
		for i := 0; i < 32; i += 8 {
			word := p[i : i+8 : i+8]
			binary.LittleEndian.PutUint64(word, binary.LittleEndian.Uint64(word)^wide)
		}
		p = p[32:]
	}
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^wide)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(key)
		key = bits.RotateLeft32(key, -8)
	}
	return key
}
