package stream_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tickcast/tickcast/pkg/stream"
)

// However a request comes in, it gets the answer that net/http gives.
func TestRequestsOnTheStreamsPort(t *testing.T) {
	r := newRig(t, stream.Config{})
	good := strings.Join(goodHandshake(), "\r\n") + "\r\n\r\n"
	with := func(lines ...string) string {
		return strings.Join(append(goodHandshake(), lines...), "\r\n") + "\r\n\r\n"
	}
	ping := string(clientFrame(0x89, []byte("early")))
	for _, tt := range []struct {
		name   string
		pieces []string
		status int
	}{
		{"whole", []string{good}, 101},
		{"in two pieces", []string{good[:40], good[40:]}, 101},
		{"with a frame behind it", []string{good + ping}, 101},
		{"longer than a first read", []string{with("Cookie: " + strings.Repeat("c", 6<<10))}, 101},
		{"with a query", []string{strings.Replace(good, "/v1/stream", "/v1/stream?x=1", 1)}, 101},
		{"lines ended by \\n", []string{strings.ReplaceAll(good, "\r\n", "\n")}, 101},
		{"a page", []string{"GET /v1/symbols HTTP/1.1\r\nHost: localhost\r\n\r\n"}, 200},
		{"no Host", []string{strings.Replace(good, "Host: localhost\r\n", "", 1)}, 400},
		{"two Hosts", []string{with("Host: other")}, 400},
		{"a Host that is none", []string{strings.Replace(good, "localhost", "local host", 1)}, 400},
		{"a header line without a colon", []string{with("nonsense")}, 400},
		{"a length that is none", []string{with("Content-Length: x")}, 400},
		{"other path", []string{strings.Replace(good, "/v1/stream", "/v1/nothing", 1)}, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := r.raw()
			for _, p := range tt.pieces {
				w.write([]byte(p))
			}
			resp, err := http.ReadResponse(w.br, nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status {
				t.Fatalf("status %d, want %d", resp.StatusCode, tt.status)
			}
			if tt.status != http.StatusSwitchingProtocols {
				return
			}
			if !strings.HasSuffix(tt.pieces[0], ping) {
				w.write([]byte(ping))
			}
			if got := w.until(10); string(got) != "early" {
				t.Errorf("pong %q", got)
			}
		})
	}
}
