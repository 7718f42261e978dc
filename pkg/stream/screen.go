package stream

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
)

// RFC 6455 section 7.4.1.
const (
	closeNormal   = 1000
	closeProtocol = 1002
	closePayload  = 1007
	closeTooLarge = 1009
	closeInternal = 1011
)

// A fault is a breach of RFC 6455 by the subscriber.
type fault struct {
	code   int
	reason string
}

func (f *fault) Error() string { return f.reason }

// A screen stands between the socket and gws. It lets frames through only while their
// headers are legal, because gws 1.8.9 panics on a length with the top bit set and, with
// permessage-deflate, checks no RSV bit; and text only while it is UTF-8, because gws looks
// at whole messages. It counts what the kernel takes.
//
// Read is called by the session's read goroutine alone, Write by gws under its lock.
type screen struct {
	net.Conn
	tcp     *net.TCPConn // beneath it; nil if there is none
	head    []byte       // read behind the handshake, not yet given out
	deflate bool
	onFault func(*fault) // called once, before Read returns the fault; what came before it has been read then

	// frame scanner
	hdr        [14]byte
	hdrLen     int
	payload    uint64 // bytes of the current frame's payload still to pass
	fragmented uint64 // payload of the open message so far
	open       bool   // a message has begun and its last frame has not come
	text       bool   // it is text, and not compressed
	key        [4]byte
	passed     int     // bytes of the current frame's payload
	rune       [3]byte // of the text, begun and not whole
	runeLen    int
	fault      *fault
	told       bool // onFault was called
	closeCode  [2]byte
	peerCode   atomic.Int32 // of the subscriber's close frame, if it may be sent

	taken     atomic.Int64
	wire      *atomic.Int64 // of the shard's connections
	closeOnce sync.Once
	closing   atomic.Bool // Close was called
}

// Read fills p with bytes of legal frames.
func (s *screen) Read(p []byte) (int, error) {
	if s.fault != nil {
		return 0, s.tell()
	}
	var n int
	var err error
	if len(s.head) > 0 {
		n = copy(p, s.head)
		s.head = s.head[n:]
	} else {
		n, err = s.Conn.Read(p)
	}
	good := s.scan(p[:n])
	switch {
	case s.fault == nil:
		return n, err
	case good > 0:
		return good, nil
	}
	return 0, s.tell()
}

func (s *screen) tell() *fault {
	if !s.told {
		s.told = true
		s.onFault(s.fault)
	}
	return s.fault
}

// scan follows frames through b and returns how many bytes lie before the first fault.
func (s *screen) scan(b []byte) int {
	for at := 0; at < len(b); {
		if s.payload > 0 {
			part := b[at : at+int(min(s.payload, uint64(len(b)-at)))]
			if s.fault = s.look(part); s.fault != nil {
				return at
			}
			s.payload -= uint64(len(part))
			s.passed += len(part)
			at += len(part)
			continue
		}
		s.hdr[s.hdrLen] = b[at]
		s.hdrLen++
		at++
		if s.hdrLen < 2 || s.hdrLen < headerSize(s.hdr[1]) {
			continue
		}
		if s.fault = s.header(); s.fault != nil {
			return max(0, at-s.hdrLen)
		}
		s.hdrLen = 0
	}
	return len(b)
}

func headerSize(second byte) int {
	n := 2
	switch second & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if second&0x80 != 0 {
		n += 4
	}
	return n
}

// header judges a complete frame header.
func (s *screen) header() *fault {
	var (
		fin    = s.hdr[0]&0x80 != 0
		rsv1   = s.hdr[0]&0x40 != 0
		op     = s.hdr[0] & 0x0f
		length = uint64(s.hdr[1] & 0x7f)
	)
	switch length {
	case 126:
		length = uint64(binary.BigEndian.Uint16(s.hdr[2:]))
	case 127:
		length = binary.BigEndian.Uint64(s.hdr[2:])
	}
	bad := func(reason string) *fault { return &fault{closeProtocol, reason} }
	switch {
	case s.hdr[1]&0x80 == 0:
		return bad("a frame is not masked")
	case s.hdr[0]&0x30 != 0, rsv1 && (!s.deflate || op != 1 && op != 2):
		return bad("a reserved bit is set")
	case op >= 3 && op < 8, op > 10:
		return bad("reserved opcode")
	case op >= 8 && (!fin || length > 125):
		return bad("a control frame is fragmented or too long")
	case op == 0 && !s.open:
		return bad("a continuation continues nothing")
	case (op == 1 || op == 2) && s.open:
		return bad("a message begins inside another")
	case length>>63 != 0:
		return bad("a length has its top bit set")
	}
	if op < 8 {
		if op != 0 {
			s.fragmented, s.text, s.runeLen = 0, op == 1 && !rsv1, 0
		}
		if length > codec.MaxRequestBytes-min(s.fragmented, codec.MaxRequestBytes) {
			return &fault{closeTooLarge, "a request is at most 64 KiB"}
		}
		s.fragmented += length
		s.open = !fin
	}
	s.payload, s.passed = length, 0
	s.key = [4]byte(s.hdr[s.hdrLen-4:])
	return nil
}

// writeSlice is how much is written at a time, so that progress shows.
const writeSlice = 16 << 10

// Write passes b on and counts what the kernel has taken.
func (s *screen) Write(b []byte) (int, error) {
	b = s.correctClose(b)
	done := 0
	for done < len(b) {
		n, err := s.Conn.Write(b[done:min(len(b), done+writeSlice)])
		done += n
		s.taken.Add(int64(n))
		s.wire.Add(int64(n))
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// lingerFor bounds how long a closed connection waits for the subscriber's side to end.
const lingerFor = 2 * time.Second

// Close ends the sending side and gives the subscriber a moment to read what was sent: a
// full close with unread input would reset the connection and lose the close frame. The
// read loop ends at the subscriber's end or at the deadline, and calls finish.
func (s *screen) Close() error {
	s.closeOnce.Do(func() {
		s.closing.Store(true)
		// Of both sides: a Write that waits for the subscriber holds the lock of a tls.Conn.
		_ = s.Conn.SetDeadline(time.Now().Add(lingerFor))
		if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite() // under TLS an alert, and no more
		}
		if s.tcp != nil {
			_ = s.tcp.CloseWrite()
		}
	})
	return nil
}

// finish reads what still comes within the linger time, if Close has begun it, and gives the
// descriptor back.
func (s *screen) finish() error {
	_ = s.Close()
	var sink [512]byte
	for {
		if _, err := s.Conn.Read(sink[:]); err != nil {
			break
		}
	}
	return s.Conn.Close()
}

// abort ends the connection at once. The socket is closed beneath a tls.Conn, which would
// wait for a Write under way.
func (s *screen) abort() {
	if s.tcp == nil {
		_ = s.Conn.Close()
		return
	}
	_ = s.tcp.SetLinger(0)
	_ = s.tcp.Close()
}
