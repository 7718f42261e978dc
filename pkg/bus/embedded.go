package bus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
)

// lastValueBytes is what an embedded server may hold besides the trades: room for the newest
// quote and bar of some hundred thousand symbols.
const lastValueBytes = 256 << 20

// startTimeout is generous: an embedded server is ready within some 30 ms.
const startTimeout = 10 * time.Second

// embedded is a NATS server in this process, and the directory that its JetStream insists on
// though all it stores is in memory.
type embedded struct {
	*server.Server
	dir string
}

// startEmbedded returns once the server takes connections, or fails, leaving nothing behind.
func startEmbedded(ctx context.Context, cfg Config) (*embedded, error) {
	dir, err := os.MkdirTemp("", "tickcast-nats-")
	if err != nil {
		return nil, fmt.Errorf("embedded server: %w", err)
	}
	opts := &server.Options{
		ServerName:         "tickcast-embedded",
		DontListen:         true,
		NoSigs:             true,
		JetStream:          true,
		StoreDir:           dir,
		JetStreamMaxMemory: cfg.HistoryBytes + lastValueBytes,
		JetStreamMaxStore:  1, // 0 would mean: take three quarters of the disk
	}
	if cfg.Listen != "" {
		host, port, err := splitListen(cfg.Listen)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("embedded server: %w", err), os.RemoveAll(dir))
		}
		if port == 0 {
			port = server.RANDOM_PORT
		}
		opts.DontListen, opts.Host, opts.Port = false, host, port
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded server: %w", err), os.RemoveAll(dir))
	}
	e := &embedded{Server: srv, dir: dir}
	log := serverLog{cfg.Log.Named("nats").Sugar(), make(chan string, 1)}
	srv.SetLoggerV2(log, false, false, false)
	srv.Start()

	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for !srv.ReadyForConnections(100 * time.Millisecond) {
		select {
		case why := <-log.fatal:
			e.stop()
			return nil, fmt.Errorf("embedded server: %s", why)
		case <-ctx.Done():
			e.stop()
			return nil, fmt.Errorf("embedded server: not ready: %w", ctx.Err())
		default:
		}
	}
	return e, nil
}

func (e *embedded) url() string {
	if e.Addr() == nil {
		return Embedded
	}
	return e.ClientURL()
}

func (e *embedded) stop() {
	e.Shutdown()
	e.WaitForShutdown()
	_ = os.RemoveAll(e.dir) // a temporary directory: nothing depends on its going
}

// serverLog writes what the server says to zap: what it calls a notice is noise to us. The
// first reason for which it would have ended the process goes to fatal instead.
type serverLog struct {
	*zap.SugaredLogger
	fatal chan string
}

func (l serverLog) Noticef(format string, v ...any) { l.Debugf(format, v...) }
func (l serverLog) Warnf(format string, v ...any)   { l.Debugf(format, v...) }
func (l serverLog) Tracef(format string, v ...any)  { l.Debugf(format, v...) }

func (l serverLog) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
		l.Errorf(format, v...)
	}
}
