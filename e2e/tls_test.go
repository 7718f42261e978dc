package e2e_test

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

func TestTLSFromFilesThatAreRenewed(t *testing.T) {
	for _, engine := range []string{"epoll", "goroutine"} {
		t.Run(engine, func(t *testing.T) {
			expiry := time.Now().Add(time.Hour).Truncate(time.Second)
			cert := newCertificate(t, "first", expiry)
			node := serveStreamer(t, append(cert.options(), "--demo", "--engine", engine)...)
			node.secure = true
			if status, _ := get(t, node.addr, "/"); status != 400 {
				t.Errorf("plain HTTP gets %d, want 400", status)
			}
			if at := metric(t, node.admin, "tickcast_tls_certificate_expiry_seconds"); at != float64(expiry.Unix()) {
				t.Errorf("the certificate runs out at %v, want %d", at, expiry.Unix())
			}
			s := node.dial(codec.MsgPack)
			await(t, "the feed", func() bool {
				_, ok := s.ask(codec.Request{Op: codec.OpSubscribe, Channels: market.AllChannels(), Symbols: []string{market.Wildcard}}).(codec.Ack)
				return ok
			})
			s.flows(100)

			cert.renew(t, "second", expiry.Add(time.Hour))
			await(t, "the new certificate", func() bool {
				c, err := tls.Dial("tcp", node.addr, &tls.Config{InsecureSkipVerify: true})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				return c.ConnectionState().PeerCertificates[0].Subject.CommonName == "second"
			})
			if at := metric(t, node.admin, "tickcast_tls_certificate_expiry_seconds"); at != float64(expiry.Add(time.Hour).Unix()) {
				t.Errorf("the new certificate runs out at %v", at)
			}
			s.flows(100) // the old connection lives on
			node.stop()
			s.await("the end of the connection", func() bool { return s.closed })
			if s.code != 1012 {
				t.Errorf("close code %d, want 1012", s.code)
			}
		})
	}
}
