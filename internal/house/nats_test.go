package house

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.yaml.in/yaml/v3"

	"github.com/tickcast/tickcast/internal/uplink"
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

// serve starts a server from a configuration file, on a port of its own.
func serve(t *testing.T, file string) *server.Server {
	t.Helper()
	opts := &server.Options{}
	if err := opts.ProcessConfigFile(file); err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog, opts.Host, opts.StoreDir = true, true, "127.0.0.1", t.TempDir()
	opts.Port, opts.HTTPPort, opts.Cluster = server.RANDOM_PORT, 0, server.ClusterOpts{}
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not start")
	}
	return srv
}

// The users that the values for NATS' chart make may do their programs' work, and a node may
// not publish a price.
func TestNATSUsersMayDoTheirWorkAndNoMore(t *testing.T) {
	var values struct {
		Config struct{ Merge map[string]any }
	}
	if err := yaml.Unmarshal([]byte(Read(t, "deployments/nats/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	plain := json.NewEncoder(&text)
	plain.SetEscapeHTML(false)
	if err := plain.Encode(values.Config.Merge); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FEED_PASSWORD", "f")
	t.Setenv("STREAMER_PASSWORD", "s")
	// As the chart does: what stands between << and >> is NATS' own syntax.
	conf := regexp.MustCompile(`"<< (.*?) >>"`).ReplaceAllString(strings.TrimSpace(text.String()), "$1")
	conf = strings.TrimSuffix(conf, "}") + `,"jetstream":{"max_memory_store":768MB}}`
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := serve(t, file)
	connect := func(user string) *bus.Bus {
		b, err := bus.Connect(t.Context(), bus.Config{Servers: strings.Replace(srv.ClientURL(), "//", "//"+user+"@", 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := b.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		return b
	}
	feed, node := connect("feed:f"), connect("streamer:s")
	stream := market.Stream{Channel: market.ChannelTrade, Symbol: "A"}
	if err := errors.Join(feed.Announce("A", []market.Channel{market.ChannelTrade}), feed.Publish(stream, []byte("true")), feed.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	_ = node.Publish(stream, []byte("made up")) // refused, without a word to the publisher
	for _, b := range []*bus.Bus{feed, node} {
		var last string
		for deadline := time.Now().Add(20 * time.Second); last == "" && time.Now().Before(deadline); {
			if err := b.Last(t.Context(), []market.Stream{stream}, func(_ market.Stream, body []byte) { last = string(body) }); err != nil {
				t.Fatal(err)
			}
		}
		if last != "true" {
			t.Errorf("the last trade is %q", last)
		}
	}
	got := make(chan string, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() {
		_ = uplink.Uplink{Bus: node}.Run(ctx, func(_ string, body []byte, _ map[string][]string) {
			select {
			case got <- string(body):
			default:
			}
		}, func() {}, func(string, []market.Channel) {}, func(string) {})
	})
	if err := node.Subscribe(stream); err != nil {
		t.Fatal(err)
	}
	for body := ""; body == ""; {
		_ = feed.Publish(stream, []byte("next"))
		select {
		case body = <-got:
		case <-ctx.Done():
			t.Fatal("the node gets no ticks")
		case <-time.After(10 * time.Millisecond): // the subscription may be on its way
		}
	}
	cancel()
	running.Wait()
}

// Each server of the compose file takes its configuration.
func TestNATSConfigurationOfCompose(t *testing.T) {
	t.Setenv("NAME", "nats-1")
	opts := &server.Options{CheckConfig: true}
	if err := opts.ProcessConfigFile(filepath.Join(Root(t), "deployments/compose/nats.conf")); err != nil {
		t.Fatal(err)
	}
	if opts.ServerName != "nats-1" || len(opts.Routes) != 3 || opts.JetStreamMaxMemory == 0 {
		t.Errorf("name %q, %d routes, %d bytes of memory", opts.ServerName, len(opts.Routes), opts.JetStreamMaxMemory)
	}
}
