package rival

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/tickcast/tickcast/bench/internal/tape"
)

// NATS serves by nats-server's own WebSocket listener: subscribers are NATS clients, each
// symbol is a subject, and a window's trades of a symbol are one message to it. It takes the
// listener's address; the trades are published from this process. It is ready when this
// calls started.
func NATS(ctx context.Context, addr string, cfg Config, started func(addr string)) error {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return err
	}
	opts := &server.Options{
		ServerName: "bench", DontListen: true, NoSigs: true, NoLog: true,
		Websocket: server.WebsocketOpts{Host: tcp.IP.String(), Port: tcp.Port, NoTLS: true},
	}
	if tcp.Port == 0 {
		opts.Websocket.Port = server.RANDOM_PORT
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	srv.Start()
	defer func() { srv.Shutdown(); srv.WaitForShutdown() }()
	if !srv.ReadyForConnections(handshakeTimeout) {
		return errors.New("nats-server does not start")
	}
	conn, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		return err
	}
	defer conn.Close()
	started(fmt.Sprintf("%s:%d", opts.Websocket.Host, opts.Websocket.Port))
	return publish(ctx, conn, cfg)
}

// publish sends each symbol's trades of a window as one message.
func publish(ctx context.Context, conn *nats.Conn, cfg Config) error {
	market := tape.NewWindows(tape.New(cfg.Symbols, cfg.Rate, time.Now()))
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		now := time.Now()
		market.Take(now)
		for i, records := range market.Chunks {
			if market.Counts[i] == 0 {
				continue
			}
			if err := conn.Publish(cfg.Symbols[i], batch(records, market.Counts[i])); err != nil {
				return err
			}
		}
		if err := conn.Flush(); err != nil {
			return err
		}
		next := now.Add(cfg.Window)
		if cfg.Window == 0 {
			next = market.NextAt()
		}
		timer.Reset(time.Until(next))
	}
}
