package floor

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tickcast/tickcast/bench/internal/rival"
	"github.com/tickcast/tickcast/bench/internal/tape"
	"github.com/tickcast/tickcast/pkg/eventloop"
)

// Config is the work: trades of these symbols at this rate over all, which the floor makes
// itself, sent once a window. A Window of 0 sends each trade at once.
type Config struct {
	Symbols []string
	Rate    float64
	Window  time.Duration
}

// Serve runs the floor until ctx ends.
func Serve(ctx context.Context, ln net.Listener, cfg Config, loops int) error {
	stop := make(chan struct{})
	errs := make(chan error, loops)
	start := time.Now()
	var running sync.WaitGroup
	all := make([]*loop, loops)
	for i := range all {
		l, err := newLoop(tape.NewWindows(tape.New(cfg.Symbols, cfg.Rate, start)), cfg.Window)
		if err != nil {
			return err
		}
		all[i] = l
		running.Go(func() { errs <- l.run(stop) })
	}
	next := 0
	var mu sync.Mutex
	err := rival.Accept(ctx, ln, func(c *net.TCPConn) error {
		symbols, err := rival.Handshake(c, cfg.Symbols)
		if err != nil {
			return err
		}
		socket, err := eventloop.Detach(c)
		if err != nil {
			return fmt.Errorf("floor: %w", err)
		}
		mu.Lock()
		next++
		l := all[next%loops]
		mu.Unlock()
		select {
		case l.adopt <- &conn{fd: socket.Fd, symbols: symbols}:
		case <-stop:
			_ = unix.Close(socket.Fd)
		}
		return nil
	})
	close(stop)
	running.Wait()
	close(errs)
	for e := range errs {
		if err == nil {
			err = e
		}
	}
	for _, l := range all {
		for _, c := range l.conns {
			_ = unix.Close(c.fd)
		}
		_, _ = unix.Close(l.timer), unix.Close(l.epoll)
	}
	return err
}
