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
	srv := &http.Server{Handler: h, ReadHeaderTimeout: handshakeTimeout}
	var running sync.WaitGroup
	running.Go(func() { hub.Run(ctx) })
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	err := srv.Serve(ln)
	running.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
