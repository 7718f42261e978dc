package rival

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// NATS serves by nats-server's own WebSocket listener: subscribers are NATS clients, each
// symbol is a subject, and a window's trades of a symbol are one message to it. This process
// relays them from the other NATS, which knows no windows. addr is the listener's; it is
// ready when this calls started.
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
	in, err := newIntake(cfg)
	if err != nil {
		return err
	}
	defer in.close()
	started(fmt.Sprintf("%s:%d", opts.Websocket.Host, opts.Websocket.Port))
	return relay(ctx, in, conn, cfg)
}

// relay publishes what came of each symbol in a window as one message.
func relay(ctx context.Context, in *intake, conn *nats.Conn, cfg Config) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	in.each(ctx, cfg.Window, func(w *window) {
		for i, n := range w.counts {
			if n > 0 && err == nil {
				err = conn.Publish(cfg.Symbols[i], batch(w.records[i], n))
			}
		}
		if err = errors.Join(err, conn.Flush()); err != nil {
			stop()
		}
	})
	return err
}
