package e2e_test

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var secret = []byte("a secret of no less than thirty-two bytes")

// sign makes a token that allows everything.
func sign(t *testing.T, key []byte, subject string, ends time.Duration) string {
	t.Helper()
	s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims(subject, ends)).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func claims(subject string, ends time.Duration) jwt.MapClaims {
	return jwt.MapClaims{"sub": subject, "exp": time.Now().Add(ends).Unix(), "tickcast": map[string]any{}}
}

// forgeries are tokens that are wrong, each in its own way.
func forgeries(t *testing.T) []string {
	t.Helper()
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims("none", time.Hour)).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims("other", time.Hour)).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, secret, "good", time.Hour)
	return []string{
		unsigned, other, sign(t, secret, "late", -time.Hour), sign(t, []byte(strings.Repeat("wrong", 8)), "forged", time.Hour),
		good[:len(good)-1], good + "A", "x", "...", strings.Repeat("A", 9<<10),
	}
}

// A stranger does what he does to one connection.
type stranger struct {
	kind  string
	plain bool // over TCP alone, whatever the node serves
	stays bool // until all are gone whom the node is sure to end; it keeps an HTTP connection, and a flood that is slow is none
	act   func(c net.Conn, nth int)
}

// attack has so many strangers of each kind come at once, from many addresses. The channel is
// closed when the last of them is gone: the node has to end those who do not stay.
func attack(t *testing.T, node *streamer, perKind int) (over chan struct{}) {
	t.Helper()
	var mu sync.Mutex
	left := make(map[string]int)
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		if t.Failed() {
			t.Logf("strangers whom the node has yet to end: %v", left)
		}
	})
	var ended, all sync.WaitGroup
	leave, everybody := context.WithCancel(context.Background())
	for k, who := range strangers(t) {
		for nth := range perKind {
			count := func(by int) {
				mu.Lock()
				defer mu.Unlock()
				if left[who.kind] += by; left[who.kind] == 0 {
					delete(left, who.kind)
				}
				ended.Add(by)
			}
			if !who.stays {
				count(1)
			}
			all.Go(func() {
				if !who.stays {
					defer count(-1)
				}
				from := &net.TCPAddr{IP: net.IPv4(127, 1, byte(k), byte(1+nth%200))}
				c, err := (&net.Dialer{LocalAddr: from, Timeout: patience}).Dial("tcp", node.addr)
				if err != nil {
					return // refused
				}
				defer c.Close()
				if tcp := c; who.stays {
					defer context.AfterFunc(leave, func() { _ = tcp.Close() })()
				}
				if node.secure && !who.plain {
					c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
				}
				who.act(c, nth)
				if who.stays {
					<-leave.Done()
				}
			})
		}
	}
	over = make(chan struct{})
	go func() {
		ended.Wait()
		everybody()
		all.Wait()
		close(over)
	}()
	return over
}

// strangers of every kind.
func strangers(t *testing.T) []stranger {
	t.Helper()
	// says sends it all, reads nothing while it does, and then whatever comes.
	says := func(what ...string) func(net.Conn, int) {
		return func(c net.Conn, _ int) {
			for _, w := range what {
				if _, err := io.WriteString(c, w); err != nil {
					break
				}
			}
			_, _ = io.Copy(io.Discard, c)
		}
	}
	upgrade := func(header string) string {
		return "GET /v1/stream HTTP/1.1\r\nHost: node\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tickcast.v1.json\r\n" + header + "\r\n"
	}
	// By several tokens, or the bound for one would keep most of them out.
	inside := func(what ...string) func(net.Conn, int) {
		return func(c net.Conn, nth int) {
			bearer := upgrade("Sec-WebSocket-Extensions: permessage-deflate\r\nAuthorization: Bearer " + sign(t, secret, fmt.Sprint("stranger-", nth/10), time.Hour) + "\r\n")
			says(append([]string{bearer}, what...)...)(c, nth)
		}
	}
	forged := forgeries(t)
	one := func(c net.Conn, what string) {
		for i := range what {
			if _, err := io.WriteString(c, what[i:i+1]); err != nil {
				return
			}
			time.Sleep(time.Second) // what he is: slow
		}
	}
	ping := frame(0x81, `{"op":"ping"}`)
	everything := frame(0x81, `{"op":"subscribe","channels":["trade","quote","bar"],"symbols":["*"]}`)
	return []stranger{
		{"says nothing", true, false, says()},
		{"begins a TLS handshake", true, false, says("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")},
		{"speaks no protocol", true, false, says("\x00\xff\r\n\r\n", strings.Repeat("\x13", 4096))},
		{"comes and is torn off", false, false, func(c net.Conn, _ int) { _, _ = io.WriteString(c, upgrade("")[:80]) }},
		{"stops within the request", false, false, says(upgrade("")[:80])},
		{"sends a byte a second", false, false, func(c net.Conn, _ int) { one(c, upgrade("")) }},
		{"has a header without end", false, false, says(upgrade("")[:80], strings.Repeat("X-More: and more\r\n", 4096))},
		{"breaks the handshake", false, true, says(strings.Replace(upgrade(""), "dGhl", "!", 1), strings.Replace(upgrade(""), "13", "12", 1))},
		{"has a wrong token", false, true, func(c net.Conn, nth int) {
			says(upgrade("Authorization: Bearer "+forged[nth%len(forged)]+"\r\n"))(c, nth)
		}},
		{"sends wrong tokens", false, false, func(c net.Conn, nth int) {
			says(upgrade(""), strings.Repeat(frame(0x81, `{"op":"auth","token":"`+forged[nth%len(forged)]+`"}`), 50))(c, nth)
		}},
		{"asks without a token", false, false, says(upgrade(""), strings.Repeat(everything, 200))},
		{"has more connections than it may", false, true, func(c net.Conn, nth int) {
			says(upgrade("Authorization: Bearer "+sign(t, secret, "one", time.Hour)+"\r\n"))(c, nth)
		}},
		{"floods", false, true, inside(strings.Repeat(ping, 3000))},
		{"floods with frames", false, true, inside(strings.Repeat("\x89\x80\x00\x00\x00\x00", 20_000))},
		{"asks for all and for more, and reads nothing", false, true, func(c net.Conn, nth int) {
			_, err := io.WriteString(c, upgrade("Authorization: Bearer "+sign(t, secret, fmt.Sprint("stranger-", nth/10), time.Hour)+"\r\n"))
			for i := 0; err == nil && i < 1200; i++ {
				_, err = io.WriteString(c, everything)
			}
		}},
		{"declares a length beyond all", false, false, inside("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", "x")},
		{"sends more than a request may be", false, false, inside(frame(0x81, `"`+strings.Repeat("x", 1<<20)+`"`))},
		{"nests", false, true, inside(strings.Repeat(frame(0x81, strings.Repeat("[", 60_000)), 5))},
		{"nests in MessagePack", false, true, inside(strings.Repeat(frame(0x82, strings.Repeat("\x91", 60_000)), 5), frame(0x82, "\xdd\xff\xff\xff\xff"))},
		{"sends what inflates a thousandfold", false, false, inside(strings.Repeat(frame(0xc1, bomb()), 5))},
		{"begins a message that never ends", false, false, inside(frame(0x01, "{"), strings.Repeat(frame(0x00, strings.Repeat(" ", 1000)), 100))},
	}
}

// frame is one of a client's, masked with zeros.
func frame(first byte, payload string) string {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return string(append(b, 0, 0, 0, 0)) + payload
}

// bomb is 8 KiB of permessage-deflate that stand for 8 MiB.
func bomb() string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		panic(err) // of a level that there is
	}
	zeros := make([]byte, 1<<20)
	for range 8 {
		_, _ = w.Write(zeros)
	}
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}
