package rival

import (
	"bytes"
	"context"
	"net"
	"sync"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// Gobwas serves by gobwas/ws as its README shows: the zero-copy upgrade on the raw
// connection, and a goroutine that reads each. A frame is put together in memory, so that it
// takes one write and not two.
func Gobwas(ctx context.Context, ln net.Listener, cfg Config) error {
	hub, err := NewHub(cfg)
	if err != nil {
		return err
	}
	defer hub.Close()
	var running sync.WaitGroup
	running.Go(func() { hub.Run(ctx) })
	defer running.Wait()
	up := ws.Upgrader{Protocol: func([]byte) bool { return true }}
	var frame bytes.Buffer // the hub sends from one goroutine at a time
	return Accept(ctx, ln, func(c *net.TCPConn) error {
		stop := context.AfterFunc(ctx, func() { _ = c.Close() })
		defer stop()
		if _, err := up.Upgrade(c); err != nil {
			return err
		}
		request, _, err := wsutil.ReadClientData(c)
		if err != nil {
			return err
		}
		s := &gobwasSender{c, &frame}
		if err := hub.Add(s, request); err != nil {
			return err
		}
		defer hub.Remove(s)
		for {
			if _, _, err := wsutil.ReadClientData(c); err != nil {
				return err
			}
		}
	})
}

type gobwasSender struct {
	conn  *net.TCPConn
	frame *bytes.Buffer
}

func (s *gobwasSender) Send(msg []byte) error {
	s.frame.Reset()
	if err := ws.WriteFrame(s.frame, ws.NewBinaryFrame(msg)); err != nil {
		return err
	}
	_, err := s.conn.Write(s.frame.Bytes())
	return err
}
