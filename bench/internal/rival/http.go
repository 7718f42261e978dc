package rival

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
)

// serveHTTP runs a hub, and the handler that fills it, until ctx ends.
func serveHTTP(ctx context.Context, ln net.Listener, hub *Hub, h http.Handler) error {
	var running sync.WaitGroup
	running.Go(func() { hub.Run(ctx) })
	defer running.Wait()
	return serve(ctx, ln, h)
}

func serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: handshakeTimeout}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
