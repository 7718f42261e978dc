package e2e_test

import (
	"io"
	"net"
	"strings"
	"testing"
)

// Who promises a body and sends none, or asks for pages and takes no answer, is cut.
func TestPagesAreNotHeldOpen(t *testing.T) {
	for _, engine := range []string{"epoll", "goroutine"} {
		t.Run(engine, func(t *testing.T) {
			node := serveStreamer(t, "--demo", "--engine", engine, "--header-timeout", "1s", "--slow-timeout", "1s")
			connect := func(says string) net.Conn {
				c, err := node.dialer().Dial("tcp", node.addr)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = c.Close() })
				if _, err := io.WriteString(c, says); err != nil {
					t.Fatal(err)
				}
				return c
			}
			owing := connect("POST / HTTP/1.1\r\nHost: node\r\nContent-Length: 100\r\n\r\nx")
			deaf := connect("")
			flooded := make(chan struct{})
			go func() {
				defer close(flooded)
				var err error
				for again := strings.Repeat("GET /v1/symbols HTTP/1.1\r\nHost: node\r\n\r\n", 100); err == nil; {
					_, err = io.WriteString(deaf, again)
				}
			}()
			_, _ = io.Copy(io.Discard, owing) // ends
			<-flooded
			await(t, "the places to be free", func() bool { return metric(t, node.admin, "tickcast_http_connections") == 0 })
			node.stop()
		})
	}
}
