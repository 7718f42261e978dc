package eventloop

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/lxzan/gws"
)

// The whole way of a connection: TLS or not, the upgrade by gws, and the rest in a loop; the
// client is gws too.
func TestAfterAHandshakeByGws(t *testing.T) {
	transports(t, func(t *testing.T, version uint16) {
		l := startLoop(t, &probe{message: echo}, Config{})
		ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		served := make(chan error, 1)
		go func() { served <- upgradeOne(ln, l, version != 0) }()

		ear := &gwsClient{messages: make(chan string, 10), closed: make(chan error, 1)}
		option := &gws.ClientOption{
			Addr:              "ws://" + ln.Addr().String(),
			PermessageDeflate: gws.PermessageDeflate{Enabled: true, Threshold: 1},
		}
		if version != 0 {
			option.Addr = "wss://" + ln.Addr().String()
			option.TlsConfig = &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}
		}
		client, _, err := gws.NewClient(ear, option)
		if err != nil {
			t.Fatal(err)
		}
		if err := receive(t, served); err != nil {
			t.Fatal(err)
		}
		go client.ReadLoop()
		for _, want := range []string{"hello", strings.Repeat("hello ", 5_000), ""} {
			if err := client.WriteString(want); err != nil {
				t.Fatal(err)
			}
			if got := receive(t, ear.messages); got != want {
				t.Errorf("got %d bytes back, sent %d", len(got), len(want))
			}
		}
		_ = client.WriteClose(1000, nil)
		receive(t, ear.closed)
	})
}

func upgradeOne(ln *net.TCPListener, l *Loop, secure bool) error {
	tcp, err := ln.AcceptTCP()
	if err != nil {
		return err
	}
	var conn net.Conn = tcp
	if secure {
		conn = secured(tcp)
	}
	br := bufio.NewReader(conn)
	request, err := http.ReadRequest(br)
	if err != nil {
		return err
	}
	upgrader := gws.NewUpgrader(gws.BuiltinEventHandler{}, &gws.ServerOption{PermessageDeflate: gws.PermessageDeflate{Enabled: true}})
	if _, err = upgrader.UpgradeFromConn(conn, nil, request); err != nil {
		return err
	}
	a, err := Detach(conn)
	if err != nil {
		return err
	}
	a.Deflate = true
	a.Rest, _ = br.Peek(br.Buffered())
	l.Adopt(a)
	return nil
}

type gwsClient struct {
	gws.BuiltinEventHandler
	messages chan string
	closed   chan error
}

func (c *gwsClient) OnMessage(_ *gws.Conn, m *gws.Message) {
	c.messages <- string(m.Bytes())
	_ = m.Close()
}

func (c *gwsClient) OnClose(_ *gws.Conn, err error) { c.closed <- err }

// A record that is not what the keys say ends the connection, with an alert.
func TestBadRecord(t *testing.T) {
	ends := make(chan end, 1)
	l := startLoop(t, &probe{closed: func(_ *Conn, code int, err error) { ends <- end{code, err} }}, Config{})
	p := adopt(t, l, tls.VersionTLS13, Adopted{})
	if _, err := p.tcp.Write([]byte("\x17\x03\x03\x00\x20abcdefghijklmnopabcdefghijklmnop")); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, ends); got.code != codeAbnormal || got.err == nil {
		t.Errorf("Closed with %v", got)
	}
	var alert *net.OpError
	if _, _, err := p.frame(); !errors.As(err, &alert) || alert.Op != "remote error" {
		t.Errorf("the peer sees %v, want an alert", err)
	}
}
