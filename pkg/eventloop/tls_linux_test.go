package eventloop

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/sys/unix"
)

// A sealer makes TLS 1.3 records of its own under a client's keys, for what crypto/tls never
// sends.
type sealer struct {
	t      testing.TB
	suite  uint16
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// expand is HKDF-Expand-Label of RFC 8446, section 7.1.
func (s *sealer) expand(label string, n int) []byte {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(append(info, byte(len(label))), label...), 0)
	out, err := hkdf.Expand(sha256.New, s.secret, string(info), n)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// setKeys knows the two suites that crypto/tls prefers, with and without AES in hardware.
func (s *sealer) setKeys() {
	var err error
	switch s.suite {
	case tls.TLS_AES_128_GCM_SHA256:
		var block cipher.Block
		if block, err = aes.NewCipher(s.expand("key", 16)); err == nil {
			s.aead, err = cipher.NewGCM(block)
		}
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		s.aead, err = chacha20poly1305.New(s.expand("key", chacha20poly1305.KeySize))
	default:
		s.t.Fatalf("no keys for %s", tls.CipherSuiteName(s.suite))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.iv, s.seq = s.expand("iv", 12), 0
}

func (s *sealer) record(kind byte, content []byte) []byte {
	inner := append(append([]byte(nil), content...), kind)
	head := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(inner)+16))
	nonce := append([]byte(nil), s.iv...)
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^s.seq)
	s.seq++
	return s.aead.Seal(head, nonce, inner, head)
}

const (
	recordHandshake = 22
	recordData      = 23
)

// keyUpdate asks the server for new keys of its own, and goes on to new ones.
func (s *sealer) keyUpdate() []byte {
	r := s.record(recordHandshake, []byte{24, 0, 0, 1, 1})
	s.secret = s.expand("traffic upd", sha256.Size)
	s.setKeys()
	return r
}

// adoptSealed is adopt over TLS 1.3, with what seals records for the peer.
func adoptSealed(t *testing.T, l *Loop) (*peer, *sealer) {
	t.Helper()
	var keys bytes.Buffer
	p := adoptWith(t, l, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, KeyLogWriter: &keys}, Adopted{})
	_, line, _ := strings.Cut(keys.String(), "CLIENT_TRAFFIC_SECRET_0 ")
	fields := strings.Fields(line)
	s := &sealer{t: t, suite: p.Conn.(*tls.Conn).ConnectionState().CipherSuite}
	var err error
	if s.secret, err = hex.DecodeString(fields[1]); err != nil {
		t.Fatal(err)
	}
	s.setKeys()
	return p, s
}

func TestKeyUpdatesAreFollowed(t *testing.T) {
	l := startLoop(t, &probe{message: echo}, Config{})
	p, s := adoptSealed(t, l)
	for range 20 {
		sent := append(s.record(recordData, clientFrame(0x81, "before")), s.keyUpdate()...)
		sent = append(sent, s.record(recordData, clientFrame(0x81, "behind"))...)
		if _, err := p.tcp.Write(sent); err != nil {
			t.Fatal(err)
		}
		p.wants(0x81, "before")
		p.wants(0x81, "behind")
	}
}

// Every key update asks for an answer. One who takes none is cut before they pile up.
func TestKeyUpdateFlood(t *testing.T) {
	ends := make(chan end, 1)
	big := append(AppendFrameHeader(nil, OpBinary, 4<<20, false), make([]byte, 4<<20)...)
	l := startLoop(t, &probe{
		open: func(c *Conn) {
			if c.Write(big) == 0 {
				t.Error("nothing waits: the test tests nothing")
			}
		},
		closed: func(_ *Conn, code int, err error) { ends <- end{code, err} },
	}, Config{SendBuffer: 64 << 10})
	p, s := adoptSealed(t, l)
	for len(ends) == 0 {
		// crypto/tls itself ends a peer that sends 17 in a row.
		flood := s.record(recordData, clientFrame(0x8a, ""))
		for range 16 {
			flood = append(flood, s.keyUpdate()...)
		}
		if _, err := p.tcp.Write(flood); err != nil {
			break
		}
	}
	if got := receive(t, ends); !errors.Is(got.err, errKeyUpdates) {
		t.Errorf("Closed with %v", got)
	}
}

// Records need not be frames: one frame in hundreds of small records, and hundreds of frames
// in one record, each record in pieces.
func TestFramesAndRecordsAreCutAnywhere(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		l := startLoop(t, &probe{message: echo}, Config{})
		p := adopt(t, l, version, Adopted{})
		over := p.Conn.(*tls.Conn)
		big := strings.Repeat("large ", 10_000)
		var small []byte
		for range 500 {
			small = append(small, clientFrame(0x81, "small")...)
		}
		go func() {
			for frame := clientFrame(0x81, big); len(frame) > 0; {
				n := min(len(frame), 100)
				if _, err := over.Write(frame[:n]); err != nil {
					return
				}
				frame = frame[n:]
			}
			_, _ = over.Write(small)
		}()
		p.wants(0x81, big)
		for range 500 {
			p.wants(0x81, "small")
		}
	}
}

func TestASessionIsResumedInALoop(t *testing.T) {
	l := startLoop(t, &probe{message: echo}, Config{})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := &tls.Config{InsecureSkipVerify: true, ServerName: "node", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		for _, resumed := range []bool{false, true} {
			p := adoptWith(t, l, cfg, Adopted{})
			p.send(clientFrame(0x81, "hello"))
			p.wants(0x81, "hello") // and the ticket before it
			if got := p.Conn.(*tls.Conn).ConnectionState().DidResume; got != resumed {
				t.Errorf("%s: resumed %t, want %t", tls.VersionName(version), got, resumed)
			}
		}
	}
}

// An idle TLS connection keeps what crypto/tls remembers, and little of ours. Before it is
// measured each has sent and got a message.
func TestIdleTLSIsSmall(t *testing.T) {
	const conns, bytesMax = 200, 9500
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		served := 0
		l, err := New(&probe{message: func(c *Conn, text bool, payload []byte) {
			served++
			echo(c, text, payload)
		}}, Config{})
		if err != nil {
			t.Fatal(err)
		}
		testTLS()
		before := heap()
		var peers []int
		for range conns {
			peers = append(peers, openSecured(t, l, version))
		}
		for served < conns {
			events, err := l.poller.wait(Now() + int64(patience))
			if err != nil {
				t.Fatal(err)
			}
			l.take(events)
		}
		if each := (heap() - before) / conns; each > bytesMax {
			t.Errorf("%s: %d bytes each, want at most %d", tls.VersionName(version), each, bytesMax)
		}
		for _, s := range l.slots {
			s.c.lost(unix.ECANCELED)
		}
		l.tellEnded()
		l.end()
		for _, fd := range peers {
			_ = unix.Close(fd)
		}
	}
}

// openSecured opens a connection that has sent a message, and returns its peer's descriptor.
func openSecured(t *testing.T, l *Loop, version uint16) (peer int) {
	t.Helper()
	client, server := tcpPair(t)
	over := tls.Client(client, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
	shaken := make(chan error, 1)
	go func() { shaken <- over.Handshake() }()
	conn := secured(server)
	err := conn.Handshake()
	if err == nil {
		err = receive(t, shaken)
	}
	if err == nil {
		_, err = over.Write(clientFrame(0x81, strings.Repeat("x", 300)))
	}
	var a, p Adopted
	if err == nil {
		a, err = Detach(net.Conn(conn))
	}
	if err == nil {
		p, err = Detach(client)
	}
	if err != nil {
		t.Fatal(err)
	}
	l.open(&a)
	return p.Fd
}
