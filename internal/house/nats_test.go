package house

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/tickcast/tickcast/pkg/bus"
	"github.com/tickcast/tickcast/pkg/market"
)

// The configuration that is shipped is one that nats-server takes, and in which a bus finds
// room for what it stores.
func TestNATSConfigurationServes(t *testing.T) {
	opts := &server.Options{CheckConfig: true} // as -t does: an unknown field is an error
	if err := opts.ProcessConfigFile(filepath.Join(Root(t), "deployments/nats/nats-server.conf")); err != nil {
		t.Fatal(err)
	}
	for name, host := range map[string]string{"listen": opts.Host, "http": opts.HTTPHost} {
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			t.Errorf("%s is on %q: nobody is asked for a password there", name, host)
		}
	}

	opts.CheckConfig, opts.NoSigs, opts.NoLog = false, true, true
	opts.Port, opts.HTTPPort, opts.StoreDir = server.RANDOM_PORT, 0, t.TempDir()
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer func() { srv.Shutdown(); srv.WaitForShutdown() }()

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not start")
	}
	b, err := bus.Connect(ctx, bus.Config{Servers: srv.ClientURL()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	if err := b.Announce("A", []market.Channel{market.ChannelTrade}); err != nil {
		t.Fatal(err)
	}
	for known := 0; known == 0; {
		symbols, err := b.Symbols(ctx) // ErrNoStore if the streams found no room
		if err != nil {
			t.Fatal(err)
		}
		known = len(symbols)
	}
}
