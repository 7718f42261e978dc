package rival

import (
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/lxzan/gws"
)

// GWSBroadcast serves by gws's Broadcaster, its way to send one message to many: a window's
// trades of a symbol are one message to all who have it. A subscriber of ten symbols so gets
// up to ten messages a window and not one.
func GWSBroadcast(ctx context.Context, ln net.Listener, cfg Config) error {
	hub, err := NewHub(cfg)
	if err != nil {
		return err
	}
	defer hub.Close()
	e := &broadcastEvents{gwsEvents: gwsEvents{hub: hub}, bySymbol: make([]map[*gws.Conn]struct{}, len(cfg.Symbols))}
	for i := range e.bySymbol {
		e.bySymbol[i] = make(map[*gws.Conn]struct{})
	}
	up := gws.NewUpgrader(e, &gws.ServerOption{})
	srv := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := up.Upgrade(w, r)
		if err != nil {
			return
		}
		go conn.ReadLoop() // ends with the connection
	})
	var running sync.WaitGroup
	running.Go(func() { hub.each(ctx, e.broadcast) })
	defer running.Wait()
	return serve(ctx, ln, srv)
}

type broadcastEvents struct {
	gwsEvents
	bySymbol []map[*gws.Conn]struct{} // under the hub's lock
}

func (e *broadcastEvents) OnMessage(conn *gws.Conn, m *gws.Message) {
	defer func() { _ = m.Close() }()
	wanted, ack, err := Subscribe(m.Bytes(), e.hub.cfg.Symbols)
	if err != nil || conn.WriteMessage(gws.OpcodeBinary, ack) != nil {
		_ = conn.WriteClose(1008, nil)
		return
	}
	e.hub.mu.Lock()
	defer e.hub.mu.Unlock()
	for _, i := range wanted {
		e.bySymbol[i][conn] = struct{}{}
	}
}

func (e *broadcastEvents) OnClose(conn *gws.Conn, _ error) {
	e.hub.mu.Lock()
	defer e.hub.mu.Unlock()
	for _, conns := range e.bySymbol {
		delete(conns, conn)
	}
}

func (e *broadcastEvents) broadcast(w *window) {
	for i, conns := range e.bySymbol {
		if w.counts[i] == 0 || len(conns) == 0 {
			continue
		}
		b := gws.NewBroadcaster(gws.OpcodeBinary, batch(w.records[i], w.counts[i]))
		for conn := range conns {
			_ = b.Broadcast(conn) // fails for closed connections, which OnClose removes
		}
		_ = b.Close()
	}
}
