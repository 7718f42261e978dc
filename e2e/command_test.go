package e2e_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

func TestWrongCommandLinesEndWithOneLineThatSaysWhy(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	noRecording := write("shopping.txt", "milk\neggs\n")
	unknownKey := write("unknown.yaml", "heartbeat: 10s\nhartbeat: 10s\n")
	otherKey := write("other.yaml", "rate: 5\nheartbeat: 10s\n") // the streamer's
	loops := write("loops.yaml", "loop: true\n")
	badValue := write("value.yaml", "heartbeat: soon\n")
	noYAML := write("broken.yaml", "heartbeat: [\n")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().String()

	const usage, failure = 2, 1
	for _, tt := range []struct {
		name    string
		program string
		args    string
		env     string
		code    int
		names   string // what the line must say, words separated by spaces
	}{
		{"an unknown option", "streamer", "--adr :8080", "", usage, "--adr"},
		{"no argument is taken", "streamer", "now", "", usage, "now"},
		{"no host:port", "streamer", "--addr nowhere", "", usage, "--addr nowhere"},
		{"a value of the wrong type", "streamer", "--heartbeat soon", "", usage, "--heartbeat soon"},
		{"a value out of its range", "streamer", "--heartbeat 1ms", "", usage, "--heartbeat 1ms 100ms"},
		{"a policy that the channel does not allow", "streamer", "--policy trade=conflate", "", usage, "--policy trade conflate"},
		{"no size", "streamer", "--pending-bytes lots", "", usage, "--pending-bytes lots"},
		{"no such engine", "streamer", "--engine steam", "", usage, "--engine steam"},
		{"no NATS URL", "streamer", "--nats http://localhost", "", usage, "--nats: nats://host:4222"},
		{"a port that is none", "streamer", "--addr :99999", "", usage, "--addr :99999 65535"},
		{"none at all", "streamer", "--max-connections 0", "", usage, "--max-connections 0 1"},
		{"below none", "streamer", "--max-symbols=-1", "", usage, "--max-symbols -1 0"},
		{"no time at all", "streamer", "--slow-timeout 0s", "", usage, "--slow-timeout 0s"},
		{"a negative window", "streamer", "--batch-interval=-1ms", "", usage, "--batch-interval -1ms below"},
		{"no origin", "streamer", "--allowed-origins https://example.com/page", "", usage, "--allowed-origins https://example.com/page"},
		{"too many replicas", "streamer", "--nats-replicas 9", "", usage, "--nats-replicas 9 5"},
		{"a port for a NATS elsewhere", "streamer", "--nats-listen 127.0.0.1:0", "", usage, "--nats-listen embedded"},
		{"proxies that nobody trusts", "streamer", "--proxy-protocol", "", usage, "--proxy-protocol --trusted-proxies"},
		{"tokens without keys", "streamer", "--auth jwt", "", usage, "--jwt-key-file jwt-jwks-url"},
		{"two kinds of keys", "streamer", "--auth jwt --jwt-key-file x --jwt-jwks-url https://example.com/keys", "", usage, "--jwt-key-file jwt-jwks-url exclude"},
		{"keys that nobody may alter on their way", "streamer", "--auth jwt --jwt-jwks-url http://example.com/keys", "", usage, "--jwt-jwks-url https://"},
		{"no such key file", "streamer", "--auth jwt --jwt-key-file /no/such", "", usage, "--jwt-key-file /no/such"},
		{"a demo of no symbols", "streamer", "--demo --symbols 0", "", usage, "--symbols 0"},
		{"two at once", "streamer", "--addr nowhere --drain=-1s", "", usage, "--addr nowhere --drain -1s"},
		{"from the environment", "streamer", "", "TICKCAST_SLOW_TIMEOUT=later", usage, "slow-timeout later"},
		{"an unknown key in the file", "streamer", "--config " + unknownKey, "", usage, unknownKey + " hartbeat"},
		{"a wrong value in the file", "streamer", "--config " + badValue, "", usage, "heartbeat soon"},
		{"a file that is no YAML", "streamer", "--config " + noYAML, "", usage, noYAML},
		{"no such file", "streamer", "--config /no/such.yaml", "", usage, "--config /no/such.yaml"},
		{"a recording without the demo", "streamer", "--file x", "", usage, "--file --demo"},
		{"a simulation without the demo", "streamer", "--rate 5 --symbols 3", "", usage, "--rate --symbols --demo"},
		{"a pace without a recording", "streamer", "--demo --speed 2", "", usage, "--speed --file"},
		{"a simulation of a recording", "streamer", "--demo --file x --rate 5 --symbols 3", "", usage, "--rate --symbols --file"},
		{"a demo of a NATS elsewhere", "streamer", "--demo --nats nats://localhost", "", usage, "--nats --demo"},
		{"a demo faster than anything", "streamer", "--demo --rate Inf", "", usage, "--rate +Inf"},
		{"no replica", "streamer", "--nats-replicas 0", "", usage, "--nats-replicas 0"},
		{"a demo of no recording", "streamer", "--demo --file " + noRecording, "", usage, noRecording + " format"},
		{"a certificate without its key", "streamer", "--tls-cert x", "", usage, "--tls-cert --tls-key"},
		{"client roots without TLS", "streamer", "--tls-client-ca x", "", usage, "--tls-client-ca --tls-cert"},
		{"no such certificate", "streamer", "--tls-cert /no/such --tls-key /no/such", "", usage, "--tls-cert /no/such"},
		{"a file that is no certificate", "streamer", "--tls-cert " + noRecording + " --tls-key " + noRecording, "", usage, noRecording},
		{"the port is taken", "streamer", "--admin-addr 127.0.0.1:0 --addr " + port, "", failure, "--addr: " + port + " in use"},
		{"the admin port is taken", "streamer", "--addr 127.0.0.1:0 --admin-addr " + port, "", failure, "--admin-addr: " + port + " in use"},

		{"an unknown option", "feed", "--ratee 1", "", usage, "--ratee"},
		{"a value of the wrong type", "feed", "--rate fast", "", usage, "--rate fast"},
		{"a value out of its range", "feed", "--rate -1", "", usage, "--rate -1"},
		{"no such source", "feed", "--source tea-leaves", "", usage, "--source tea-leaves"},
		{"replay without a file", "feed", "--source replay", "", usage, "--source replay --file"},
		{"a file without replay", "feed", "--file x", "", usage, "--file replay"},
		{"a replay's options without one", "feed", "--loop --retime --speed 2", "", usage, "--loop --retime --speed replay"},
		{"a simulator's options without one", "feed", "--source replay --file x --rate 5 --seed 2", "", usage, "--rate --seed sim"},
		{"a replay's option in the file", "feed", "--config " + loops, "", usage, "--loop replay"},
		{"a replay at no speed", "feed", "--source replay --file x --speed 1e-9", "", usage, "--speed 1e-09"},
		{"faster than anything", "feed", "--rate Inf", "", usage, "--rate +Inf"},
		{"an empty name among the symbols", "feed", "--symbols A,,B", "", usage, "--symbols empty"},
		{"no replica", "feed", "--nats-replicas 0", "", usage, "--nats-replicas 0"},
		{"no such recording", "feed", "--source replay --file /no/such", "", usage, "/no/such"},
		{"a file of no known format", "feed", "--source replay --file " + noRecording, "", usage, noRecording + " format"},
		{"a folder without a recording", "feed", "--source replay --file " + dir, "", usage, dir + " no recording"},
		{"too many symbols", "feed", "--symbols 10001", "", usage, "--symbols 10001"},
		{"an unknown key in the file", "feed", "--config " + otherKey, "", usage, otherKey + " heartbeat"},
		{"the admin port is taken", "feed", "--admin-addr " + port, "", failure, "--admin-addr: " + port + " in use"},

		{"no command", "tickcast", "", "", usage, "command"},
		{"no such command", "tickcast", "watch AAPL", "", usage, "watch sub symbols snapshot"},
		{"an unknown option", "tickcast", "sub AAPL --collour", "", usage, "--collour"},
		{"no symbol", "tickcast", "sub", "", usage, "sub symbol"},
		{"a symbol for all of them", "tickcast", "symbols AAPL", "", usage, "symbols AAPL"},
		{"no stream's URL", "tickcast", "symbols --url http://localhost:8080", "", usage, "--url ws://"},
		{"no such channel", "tickcast", "sub AAPL --channels trade,tea", "", usage, "--channels tea"},
		{"all beside one", "tickcast", "sub * AAPL", "", usage, "* alone"},
		{"a snapshot of all", "tickcast", "snapshot *", "", usage, "* sub"},
		{"channels for a list", "tickcast", "symbols --channels bar", "", usage, "--channels sub snapshot"},
		{"a count for a snapshot", "tickcast", "snapshot AAPL --count 3", "", usage, "--count sub"},
		{"two tokens", "tickcast", "sub AAPL --token-file x", "TICKCAST_TOKEN=y", usage, "--token --token-file"},
		{"an unknown key in the file", "tickcast", "symbols --config " + otherKey, "", usage, otherKey},
		{"no such token file", "tickcast", "sub AAPL --token-file /no/such --url ws://127.0.0.1:1", "", usage, "--token-file /no/such"},
		{"nobody there", "tickcast", "sub AAPL --url ws://127.0.0.1:1", "", failure, "127.0.0.1:1 refused"},
		{"nobody there to list", "tickcast", "symbols --url ws://127.0.0.1:1", "", failure, "127.0.0.1:1 refused"},
	} {
		t.Run(tt.program+" "+tt.name, func(t *testing.T) {
			if name, value, ok := strings.Cut(tt.env, "="); ok {
				t.Setenv(name, value)
			}
			p := start(t, tt.program, strings.Fields(tt.args)...)
			if code := p.wait(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			said := p.stderr.String()
			if strings.Count(said, "\n") != 1 || p.stdout.String() != "" {
				t.Errorf("want one line on standard error and nothing else, got %q and %q", said, p.stdout.String())
			}
			for _, word := range strings.Fields(tt.names) {
				if !strings.Contains(said, word) {
					t.Errorf("want %q in %q", word, said)
				}
			}
		})
	}
}

func TestProgramsWaitForNATS(t *testing.T) {
	nats := startNATS(t)
	nats.stop()
	node := startStreamer(t, nats)
	waiting := start(t, "feed", "--nats", nats.url)
	if status := node.readyz(); status != 503 {
		t.Errorf("/readyz is %d before the first connection, want 503", status)
	}
	if status, _ := get(t, node.admin, "/healthz"); status != 200 {
		t.Errorf("/healthz is %d, want 200", status)
	}
	s := node.dial(codec.JSON)
	everything := codec.Request{Op: codec.OpSubscribe, Channels: market.AllChannels(), Symbols: []string{market.Wildcard}}
	if e, ok := s.ask(everything).(codec.Error); !ok || e.Code != codec.CodeNoUpstream {
		t.Errorf("subscribe is answered by %+v, want err 4503", e)
	}
	await(t, "the feed to say that it waits", func() bool { return len(waiting.logged("waiting for NATS")) > 0 })

	nats.start()
	waiting.ready()
	node.awaitSymbols(100)
	s.subscribe(market.AllChannels(), market.Wildcard)
	s.flows(100)
	if status := node.readyz(); status != 200 {
		t.Errorf("/readyz is %d, want 200", status)
	}
	waiting.stop()
	node.stop()
}
