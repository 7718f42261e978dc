package rival

import (
	"context"
	"net"
	"net/http"

	"github.com/lxzan/gws"
)

// GWS serves by lxzan/gws as its examples do: a goroutine in ReadLoop for each connection,
// and WriteMessage from the loop.
func GWS(ctx context.Context, ln net.Listener, cfg Config) error {
	hub, err := NewHub(cfg)
	if err != nil {
		return err
	}
	defer hub.Close()
	up := gws.NewUpgrader(&gwsEvents{hub: hub}, &gws.ServerOption{})
	return serveHTTP(ctx, ln, hub, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := up.Upgrade(w, r)
		if err != nil {
			return
		}
		go conn.ReadLoop() // ends with the connection
	}))
}

type gwsEvents struct {
	gws.BuiltinEventHandler
	hub *Hub
}

func (e *gwsEvents) OnMessage(conn *gws.Conn, m *gws.Message) {
	defer func() { _ = m.Close() }()
	if e.hub.Add(gwsSender{conn}, m.Bytes()) != nil {
		_ = conn.WriteClose(1008, nil)
	}
}

func (e *gwsEvents) OnClose(conn *gws.Conn, _ error) { e.hub.Remove(gwsSender{conn}) }

type gwsSender struct{ *gws.Conn }

func (s gwsSender) Send(msg []byte) error { return s.WriteMessage(gws.OpcodeBinary, msg) }
