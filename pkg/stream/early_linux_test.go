package stream

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"
)

// What is taken before net/http sees it is what net/http would have read.
func FuzzEarlyRequest(f *testing.F) {
	const host = "Host: a\r\n"
	for _, seed := range []string{
		host + "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\nrest", host, host + "\r\n", host + "\n\n\r\n\r\n",
		host + "A: 1\r\n 2\r\nA: 3\r\n\r\n", host + host + "\r\n", host + "Content-Length: 4\r\n\r\nbody", "Host: a b\r\n\r\n",
		host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", host + "\x00: 1\r\n\r\n", host + "A : 1\r\n\r\n", host + "A: \x7f\r\n\r\n", host + "\u00e9: 1\r\n\r\n", host + "A: \x00\r\n\r\n", " " + host + "\r\n",
	} {
		f.Add([]byte(earlyLine + seed))
	}
	d := newEarlyReader(f.Context())
	f.Fuzz(func(t *testing.T, said []byte) {
		if len(said) > 4<<10 {
			return // no listener shows more
		}
		got, rest := d.read(said)
		if got == nil {
			return
		}
		br := bufio.NewReader(bytes.NewReader(said))
		want, err := http.ReadRequest(br)
		if err != nil || !served(said) {
			t.Fatalf("net/http refuses it: %v", err)
		}
		got.Header.Del("Host") // net/http moves it
		if !maps.EqualFunc(got.Header, want.Header, slices.Equal) || got.Host != want.Host || want.ContentLength != 0 {
			t.Errorf("got %q %v, want %q %v", got.Host, got.Header, want.Host, want.Header)
		}
		if behind, _ := io.ReadAll(br); !bytes.Equal(rest, behind) {
			t.Errorf("behind it %q, want %q", rest, behind)
		}
	})
}

// served says whether a server of net/http lets a handler see the request: it asks more of one
// than http.ReadRequest does.
func served(said []byte) (reached bool) {
	here, there := net.Pipe()
	conns := oneConn{make(chan net.Conn, 1)}
	conns.ch <- there
	ended := make(chan struct{})
	server := &http.Server{
		ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			reached = true
			w.Header().Set("Connection", "close")
		}),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				close(conns.ch)
				close(ended)
			}
		},
	}
	go func() { _ = server.Serve(conns) }()
	go func() { _, _ = here.Write(said) }()
	_, _ = io.Copy(io.Discard, here)
	_ = here.Close()
	<-ended
	return reached
}

// oneConn is a listener for one connection.
type oneConn struct{ ch chan net.Conn }

func (l oneConn) Accept() (net.Conn, error) {
	if c, ok := <-l.ch; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l oneConn) Close() error   { return nil }
func (l oneConn) Addr() net.Addr { return &net.TCPAddr{} }
