package stream

import (
	"encoding/binary"
	"strings"

	"github.com/tickcast/tickcast/pkg/eventloop"
)

// look passes over a piece of the current frame's payload.
func (s *screen) look(part []byte) *fault {
	switch op := s.hdr[0] & 0x0f; {
	case op == 8:
		s.lookAtCode(part)
	case op < 8 && s.text && !s.checkText(part):
		return &fault{closePayload, "text is not UTF-8"}
	}
	return nil
}

// checkText reports false at the first byte that no UTF-8 has. That the last rune of a message
// is whole is left to gws.
func (s *screen) checkText(part []byte) bool {
	var buf [512]byte
	for at := 0; at < len(part); {
		n := copy(buf[:], s.rune[:s.runeLen])
		fresh := buf[n : n+copy(buf[n:], part[at:])]
		for i := range fresh {
			fresh[i] ^= s.key[(s.passed+at+i)%4]
		}
		at += len(fresh)
		text := buf[:n+len(fresh)]
		whole, ok := eventloop.ValidSoFar(text)
		if !ok {
			return false
		}
		s.runeLen = copy(s.rune[:], text[whole:])
	}
	return true
}

// code1014 is in IANA's registry, and no close frame may have it to gws.
const code1014 = 1014

// lookAtCode takes the code out of a close frame, and gives gws one that it takes.
func (s *screen) lookAtCode(part []byte) {
	if s.peerCode.Load() != 0 {
		return // nothing counts behind the first
	}
	for i := 0; i < len(part) && s.passed+i < len(s.closeCode); i++ {
		at := s.passed + i
		s.closeCode[at] = part[i] ^ s.key[at]
		if at == 0 {
			continue
		}
		code := binary.BigEndian.Uint16(s.closeCode[:])
		if !eventloop.ValidCloseCode(int(code)) {
			return
		}
		s.peerCode.Store(int32(code))
		if code == code1014 { // the first byte may be with gws already: it is the same
			part[i] ^= code1014&0xff ^ closeNormal&0xff
		}
	}
}

// correctClose mends the close frames that gws sends. When a compressed message is broken or
// inflates past the limit it says 1011, though neither is this side's fault; and to most codes
// it answers 1000, where RFC 6455 would have the same code back.
func (s *screen) correctClose(b []byte) []byte {
	if len(b) < 4 || b[0] != 0x88 {
		return b
	}
	code := int(binary.BigEndian.Uint16(b[2:]))
	switch peer := int(s.peerCode.Load()); {
	case code == closeInternal && strings.Contains(string(b[4:]), "too large"):
		code = closeTooLarge
	case code == closeInternal:
		code = closePayload
	case code == closeNormal && peer != 0:
		code = peer
	default:
		return b
	}
	mended := append([]byte(nil), b...)
	binary.BigEndian.PutUint16(mended[2:], uint16(code))
	return mended
}
