package eventloop

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tickcast/tickcast/internal/waiting"
)

func TestMain(m *testing.M) {
	if how := os.Getenv(fewEnv); how != "" {
		serveFew(how)
	}
	// The runtime's poller takes two descriptors at its first use, which tests count.
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = ln.Close()
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must come before it gives up.
const patience = 20 * time.Second

// A probe is a Handler made of functions; those that are nil do nothing.
type probe struct {
	open    func(*Conn)
	message func(c *Conn, text bool, payload []byte)
	drained func(*Conn)
	ending  func(*Conn)
	closed  func(c *Conn, code int, err error)
	turn    func(now int64) int64
}

func (p *probe) Open(c *Conn) {
	if p.open != nil {
		p.open(c)
	}
}

func (p *probe) Message(c *Conn, text bool, payload []byte) {
	if p.message != nil {
		p.message(c, text, payload)
	}
}

func (p *probe) Drained(c *Conn) {
	if p.drained != nil {
		p.drained(c)
	}
}

func (p *probe) Ending(c *Conn) {
	if p.ending != nil {
		p.ending(c)
	}
}

func (p *probe) Closed(c *Conn, code int, err error) {
	if p.closed != nil {
		p.closed(c, code, err)
	}
}

func (p *probe) Turn(now int64) int64 {
	if p.turn != nil {
		return p.turn(now)
	}
	return 0
}

// echo answers every message with itself.
func echo(c *Conn, text bool, payload []byte) {
	op := OpBinary
	if text {
		op = OpText
	}
	c.Write(append(AppendFrameHeader(nil, op, len(payload), false), payload...))
}

// startLoop runs a loop until the test ends, and then wants it to have stopped by itself.
func startLoop(t testing.TB, h Handler, cfg Config) *Loop {
	t.Helper()
	if cfg.Linger == 0 {
		cfg.Linger = 200 * time.Millisecond
	}
	l, err := New(h, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- l.Run() }()
	t.Cleanup(func() {
		l.Stop(patience)
		if err := receive(t, ran); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return l
}

// receive waits for one value.
func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// tcpPair returns both ends of a loopback connection.
func tcpPair(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err = net.DialTCP("tcp", nil, ln.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	if server, err = ln.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// secured is what a Listener makes of an accepted connection.
func secured(server *net.TCPConn) *tls.Conn {
	ln := Listener{cfg: ListenConfig{TLS: testTLS()}, places: make(places, 1)}
	return ln.dressed(server).(*tls.Conn)
}

// A peer is the client's end in a test.
type peer struct {
	t testing.TB
	net.Conn
	tcp *net.TCPConn
	br  *bufio.Reader
}

// adopt gives l one end of a new connection, over TLS where version is not 0, and returns the
// other.
func adopt(t testing.TB, l *Loop, version uint16, a Adopted) *peer {
	t.Helper()
	if version == 0 {
		return adoptWith(t, l, nil, a)
	}
	return adoptWith(t, l, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}, a)
}

// adoptWith is adopt for a client of TLS with its own settings, or none.
func adoptWith(t testing.TB, l *Loop, cfg *tls.Config, a Adopted) *peer {
	t.Helper()
	client, server := tcpPair(t)
	p := &peer{t: t, Conn: client, tcp: client}
	t.Cleanup(func() { _ = client.Close() })
	var detached net.Conn = server
	if cfg != nil {
		over := tls.Client(client, cfg)
		shaken := make(chan error, 1)
		go func() { shaken <- over.Handshake() }()
		conn := secured(server)
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		if err := receive(t, shaken); err != nil {
			t.Fatal(err)
		}
		detached, p.Conn = conn, over
	}
	p.br = bufio.NewReader(p.Conn)
	_ = p.SetDeadline(time.Now().Add(patience))
	d, err := Detach(detached)
	if err != nil {
		t.Fatal(err)
	}
	a.Fd, a.tls = d.Fd, d.tls
	if !l.Adopt(a) {
		t.Fatal("refused")
	}
	return p
}

func (p *peer) send(frames ...[]byte) {
	p.t.Helper()
	for _, f := range frames {
		if _, err := p.Write(f); err != nil {
			p.t.Fatal(err)
		}
	}
}

// frame reads one of the server's frames.
func (p *peer) frame() (b0 byte, payload []byte, err error) {
	var head [10]byte
	if _, err := io.ReadFull(p.br, head[:2]); err != nil {
		return 0, nil, err
	}
	n := int(head[1])
	switch n {
	case 126:
		_, err = io.ReadFull(p.br, head[2:4])
		n = int(binary.BigEndian.Uint16(head[2:]))
	case 127:
		_, err = io.ReadFull(p.br, head[2:10])
		n = int(binary.BigEndian.Uint64(head[2:]))
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(p.br, payload)
	return head[0], payload, err
}

// wants reads one frame and compares it.
func (p *peer) wants(b0 byte, payload string) {
	p.t.Helper()
	got0, got, err := p.frame()
	if err != nil || got0 != b0 || string(got) != payload {
		p.t.Fatalf("got frame %#x %.40q (%d bytes), error %v; want %#x %.40q (%d bytes)", got0, got, len(got), err, b0, payload, len(payload))
	}
}

// wantsEnd reads to the end of the stream and wants it to be an orderly one.
func (p *peer) wantsEnd() {
	p.t.Helper()
	if rest, err := io.ReadAll(p.br); err != nil || len(rest) > 0 {
		p.t.Fatalf("got %d bytes %.40q, error %v; want the end", len(rest), rest, err)
	}
}

// descriptors counts those that the process has open.
func descriptors(t testing.TB) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

var until = waiting.For

var testTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

// transports runs a test over TCP and both versions of TLS.
func transports(t *testing.T, f func(t *testing.T, version uint16)) {
	for _, version := range []uint16{0, tls.VersionTLS12, tls.VersionTLS13} {
		name := "plain"
		if version != 0 {
			name = tls.VersionName(version)
		}
		t.Run(name, func(t *testing.T) { f(t, version) })
	}
}

// An end is what Closed was told.
type end struct {
	code int
	err  error
}

func (e end) String() string { return fmt.Sprintf("%d (%v)", e.code, e.err) }
