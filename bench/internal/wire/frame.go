package wire

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
)

// The opcodes of RFC 6455.
const (
	OpContinuation byte = 0
	OpText         byte = 1
	OpBinary       byte = 2
	OpClose        byte = 8
	OpPing         byte = 9
	OpPong         byte = 10
)

// frameBytesMax bounds what a server may send in one frame: nats-server's are the largest.
const frameBytesMax = 8 << 20

// ErrFrame reports bytes that no WebSocket server sends.
var ErrFrame = errors.New("wire: not a server's frame")

// A Frame is one that has come whole.
type Frame struct {
	Op         byte
	Fin        bool
	Compressed bool   // RSV1: permessage-deflate
	Payload    []byte // aliases what was read
}

// Next returns the frame at the front of buf and its length, or length 0 if the frame has
// not come whole. The error is ErrFrame.
func Next(buf []byte) (f Frame, length int, err error) {
	if len(buf) < 2 {
		return Frame{}, 0, nil
	}
	at, n := 2, uint64(buf[1])
	switch {
	case n == 126 && len(buf) >= 4:
		at, n = 4, uint64(binary.BigEndian.Uint16(buf[2:]))
	case n == 127 && len(buf) >= 10:
		at, n = 10, binary.BigEndian.Uint64(buf[2:])
	case n == 126, n == 127:
		return Frame{}, 0, nil
	}
	if buf[1]&0x80 != 0 || buf[0]&0x30 != 0 || n > frameBytesMax {
		return Frame{}, 0, ErrFrame
	}
	if uint64(len(buf)-at) < n {
		return Frame{}, 0, nil
	}
	end := at + int(n)
	return Frame{Op: buf[0] & 0x0f, Fin: buf[0]&0x80 != 0, Compressed: buf[0]&0x40 != 0, Payload: buf[at:end]}, end, nil
}

// AppendMasked appends a client's frame to dst and returns the grown slice.
func AppendMasked(dst []byte, op byte, payload []byte) []byte {
	dst = append(dst, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n <= 0xffff:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	var key [4]byte
	binary.BigEndian.PutUint32(key[:], rand.Uint32())
	dst = append(dst, key[:]...)
	for i, b := range payload {
		dst = append(dst, b^key[i&3])
	}
	return dst
}

// HeadBytes is the longest head that PutHead writes.
const HeadBytes = 10

// PutHead writes the head of a server's frame right before buf[at:], which is the payload,
// and returns where the frame begins. at must be HeadBytes or more.
func PutHead(buf []byte, at int, op byte) (from int) {
	switch n := len(buf) - at; {
	case n < 126:
		from = at - 2
		buf[from+1] = byte(n)
	case n <= 0xffff:
		from = at - 4
		buf[from+1] = 126
		binary.BigEndian.PutUint16(buf[from+2:], uint16(n))
	default:
		from = at - 10
		buf[from+1] = 127
		binary.BigEndian.PutUint64(buf[from+2:], uint64(n))
	}
	buf[from] = 0x80 | op
	return from
}
