package rival

import (
	"context"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

// Coder serves by coder/websocket as its documentation shows: Accept without compression,
// Read on the handler's goroutine, and Write from the loop.
func Coder(ctx context.Context, ln net.Listener, cfg Config) error {
	hub, err := NewHub(cfg)
	if err != nil {
		return err
	}
	defer hub.Close()
	return serveHTTP(ctx, ln, hub, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		_, request, err := conn.Read(ctx)
		if err != nil {
			return
		}
		s := &coderSender{ctx, conn}
		if hub.Add(s, request) != nil {
			return
		}
		defer hub.Remove(s)
		<-conn.CloseRead(ctx).Done() // what it offers to those that only write
	}))
}

type coderSender struct {
	ctx  context.Context
	conn *websocket.Conn
}

func (s *coderSender) Send(msg []byte) error {
	return s.conn.Write(s.ctx, websocket.MessageBinary, msg)
}
