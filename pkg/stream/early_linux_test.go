package stream

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"net/http"
	"slices"
	"testing"
)

// What is taken before net/http sees it is what net/http would have read.
func FuzzEarlyRequest(f *testing.F) {
	const host = "Host: a\r\n"
	for _, seed := range []string{
		host + "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\nrest", host, host + "\r\n", host + "\n\n\r\n\r\n",
		host + "A: 1\r\n 2\r\nA: 3\r\n\r\n", host + host + "\r\n", host + "Content-Length: 4\r\n\r\nbody", "Host: a b\r\n\r\n",
		host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", host + "\x00: 1\r\n\r\n", host + "A: \x00\r\n\r\n", " " + host + "\r\n",
	} {
		f.Add([]byte(earlyLine + seed))
	}
	d := newEarly(nil, nil)
	f.Fuzz(func(t *testing.T, said []byte) {
		if len(said) > 4<<10 {
			return // no listener shows more
		}
		got, rest := d.request(said)
		if got == nil {
			return
		}
		br := bufio.NewReader(bytes.NewReader(said))
		want, err := http.ReadRequest(br)
		if err != nil {
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
