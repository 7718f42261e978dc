package e2e_test

import (
	"bytes"
	"compress/flate"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var secret = []byte("a secret of no less than thirty-two bytes")

// must is for what fails only where this program is wrong.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// sign makes a token that allows everything.
func sign(key []byte, subject string, ends time.Duration) string {
	return must(jwt.NewWithClaims(jwt.SigningMethodHS256, claims(subject, ends)).SignedString(key))
}

func claims(subject string, ends time.Duration) jwt.MapClaims {
	return jwt.MapClaims{"sub": subject, "aud": "here", "exp": time.Now().Add(ends).Unix(), "tickcast": map[string]any{}}
}

// forgeries are tokens that are wrong, each in its own way.
func forgeries() []string {
	with := func(name string, v any) string {
		c := claims("good", time.Hour)
		c[name] = v
		return must(jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(secret))
	}
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	good := sign(secret, "good", time.Hour)
	return []string{
		must(jwt.NewWithClaims(jwt.SigningMethodNone, claims("none", time.Hour)).SignedString(jwt.UnsafeAllowNoneSignatureType)),
		must(jwt.NewWithClaims(jwt.SigningMethodES256, claims("other", time.Hour)).SignedString(key)),
		sign(secret, "late", -time.Hour), sign([]byte(strings.Repeat("wrong", 8)), "forged", time.Hour), with("aud", "elsewhere"), with("tickcast", 1),
		good[:len(good)-1], good + "A", "x", "...", strings.Repeat("A", 9<<10),
	}
}

// upgrade is a request for the stream.
func upgrade(header string) string {
	return "GET /v1/stream HTTP/1.1\r\nHost: node\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tickcast.v1.json\r\n" + header + "\r\n"
}

// welcome is one that is let in: one token of ten strangers', or the bound for each would keep most of them out.
func welcome(nth int) string {
	return upgrade("Sec-WebSocket-Extensions: permessage-deflate\r\nAuthorization: Bearer " + sign(secret, fmt.Sprint("stranger-", nth/10), time.Hour) + "\r\n")
}

// strangers of every kind.
func strangers() []stranger {
	says := func(what ...string) func(*visit, int) {
		return func(v *visit, _ int) { v.says(what...) }
	}
	inside := func(what ...string) func(*visit, int) {
		return func(v *visit, nth int) { v.says(append([]string{welcome(nth)}, what...)...) }
	}
	// endlessly says it again and again, and reads what comes.
	endlessly := func(first func(nth int) string, again string) func(*visit, int) {
		return func(v *visit, nth int) {
			_, err := io.WriteString(v.Conn, first(nth))
			heard := make(chan struct{})
			go func() {
				v.hears()
				close(heard)
			}()
			for err == nil {
				_, err = io.WriteString(v.Conn, again)
			}
			<-heard
		}
	}
	forged := forgeries()
	ping := frame(0x81, `{"op":"ping"}`)
	everything := frame(0x81, `{"op":"subscribe","channels":["trade","quote","bar"],"symbols":["*"]}`)
	nothing := frame(0x81, `{"op":"unsubscribe","channels":["trade","quote","bar"],"symbols":["*"]}`)
	asks := func(method, path, header string) string {
		return method + " " + path + " HTTP/1.1\r\nHost: node\r\n" + header + "\r\n"
	}
	files := asks("GET", "/", "") + asks("GET", "/nothing", "") + asks("GET", "/assets/app.js", "") + asks("OPTIONS", "/v1/symbols", "") + asks("GET", "/healthz", "")
	reader := "Authorization: Bearer " + sign(secret, "pages", time.Hour) + "\r\n"
	past := frame(0x81, `{"op":"subscribe","channels":["trade"],"symbols":["BRK.B"],"after":{"trade":{"BRK.B":1}}}`)
	return []stranger{
		{"says nothing", true, false, says()},
		{"begins a TLS handshake", true, false, says("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")},
		{"speaks no protocol", true, false, says("\x00\xff\r\n\r\n", strings.Repeat("\x13", 4096))},
		{"breaks off behind a TLS handshake", false, false, func(v *visit, _ int) {
			if c, ok := v.Conn.(*tls.Conn); ok && c.Handshake() == nil {
				v.Conn = c.NetConn()
				v.says("\x17\x03\x03\x00\x20", strings.Repeat("\x13", 0x20))
				return
			}
			v.says("\x17\x03\x03\x00\x20")
		}},
		{"comes and is torn off", false, false, func(v *visit, _ int) {
			_, _ = io.WriteString(v.Conn, upgrade("")[:80])
			v.end = tornOff
		}},
		{"stops within the request", false, false, says(upgrade("")[:80])},
		{"sends a byte a second", false, false, func(v *visit, _ int) {
			heard := make(chan struct{})
			go func() {
				v.hears()
				close(heard)
			}()
			for what := upgrade(""); what != ""; what = what[1:] {
				if _, err := io.WriteString(v.Conn, what[:1]); err != nil {
					break
				}
				select {
				case <-heard: // he was sent away
					return
				case <-time.After(time.Second): // what he is: slow
				}
			}
			<-heard
		}},
		{"has a header without end", false, false, says(upgrade("")[:80], strings.Repeat("X-More: and more\r\n", 4096))},
		{"breaks the handshake", false, false, says(strings.Replace(upgrade(""), "dGhl", "!", 1), strings.Replace(upgrade(""), "13", "12", 1))},
		{"has a wrong token", false, false, func(v *visit, nth int) { v.says(upgrade("Authorization: Bearer " + forged[nth%len(forged)] + "\r\n")) }},
		{"goes on with wrong tokens", false, false, func(v *visit, nth int) {
			endlessly(func(int) string { return "" }, upgrade("Authorization: Bearer "+forged[nth%len(forged)]+"\r\n"))(v, nth)
		}},
		{"sends wrong tokens", false, false, func(v *visit, nth int) {
			v.says(upgrade(""), strings.Repeat(frame(0x81, `{"op":"auth","token":"`+forged[nth%len(forged)]+`"}`), 50))
		}},
		{"asks without a token", false, false, says(upgrade(""), strings.Repeat(everything, 200))},
		{"has more connections than it may", false, true, says(upgrade("Authorization: Bearer " + sign(secret, "one", time.Hour) + "\r\n"))},
		{"asks for pages", false, true, endlessly(func(int) string { return "" }, asks("GET", "/v1/snapshot?symbols=BRK.B", reader)+asks("GET", "/v1/symbols", reader))},
		{"asks for pages, one a connection", false, false, says(asks("GET", "/v1/snapshot?symbols=BRK.B", reader+"Connection: close\r\n"))},
		{"asks for files", false, true, endlessly(func(int) string { return "" }, files)},
		{"asks for files, one a connection", false, false, says(asks("GET", "/nothing", "Connection: close\r\n"))},
		{"floods", false, true, inside(strings.Repeat(ping, 3000))},
		{"floods without end", false, true, endlessly(welcome, strings.Repeat(ping, 500))},
		{"floods with frames", false, true, inside(strings.Repeat("\x89\x80\x00\x00\x00\x00", 20_000))},
		{"floods with frames without end", false, true, endlessly(welcome, strings.Repeat("\x89\x80\x00\x00\x00\x00", 2000))},
		{"floods with pieces of a message", false, true, endlessly(func(nth int) string { return welcome(nth) + frame(0x01, "") }, strings.Repeat("\x00\x80\x00\x00\x00\x00", 2000))},
		{"changes its mind", false, true, endlessly(welcome, strings.Repeat(everything+nothing, 50))},
		{"asks for the past", false, true, endlessly(welcome, strings.Repeat(past+nothing, 50))},
		{"asks for all and for more, and reads nothing", false, true, func(v *visit, nth int) {
			_, err := io.WriteString(v.Conn, welcome(nth))
			for i := 0; err == nil && i < 1200; i++ {
				_, err = io.WriteString(v.Conn, everything)
			}
		}},
		{"declares a length beyond all", false, false, inside("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", "x")},
		{"sends more than a request may be", false, false, inside(frame(0x81, `"`+strings.Repeat("x", 1<<20)+`"`))},
		{"nests", false, true, inside(strings.Repeat(frame(0x81, strings.Repeat("[", 60_000)), 5))},
		{"nests in MessagePack", false, true, inside(strings.Repeat(frame(0x82, strings.Repeat("\x91", 60_000)), 5), frame(0x82, "\xdd\xff\xff\xff\xff"))},
		{"sends what inflates a thousandfold", false, false, inside(strings.Repeat(frame(0xc1, packed(strings.Repeat("\x00", 8<<20))), 5))},
		{"sends large requests in a few bytes", false, true, endlessly(welcome, strings.Repeat(frame(0xc1, packed(`{"op":"ping","x":[`+strings.Repeat("0,", 32_000)+`0]}`)), 20))},
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

// packed is permessage-deflate.
func packed(s string) string {
	var b bytes.Buffer
	w := must(flate.NewWriter(&b, flate.BestCompression))
	_, _ = io.WriteString(w, s) // a bytes.Buffer takes all
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}
