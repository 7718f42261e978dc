package bus

import (
	"context"
	"errors"
	"flag"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/tickcast/tickcast/internal/waiting"
	"github.com/tickcast/tickcast/pkg/market"
)

// natsArgsEnv turns the test binary into a nats-server, so that tests can stop and start one
// that is a process of its own without building another program.
const natsArgsEnv = "BUS_TEST_NATS_SERVER"

// patience bounds every wait of these tests. It is reached only when something is broken.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(natsArgsEnv) != "" {
		runNATS()
		return
	}
	goleak.VerifyTestMain(m)
}

func runNATS() {
	opts, err := server.ConfigureOptions(flag.NewFlagSet("nats-server", flag.ExitOnError), os.Args[1:], nil, nil, nil)
	if err != nil {
		panic(err)
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		panic(err)
	}
	srv.ConfigureLogger()
	if err := server.Run(srv); err != nil {
		panic(err)
	}
	srv.WaitForShutdown()
}

// natsProcess is an external nats-server that keeps its port from one start to the next.
type natsProcess struct {
	t    testing.TB
	port int
	args []string
	cmd  *exec.Cmd
}

func newNATSProcess(t testing.TB, args ...string) *natsProcess {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := &natsProcess{t: t, port: l.Addr().(*net.TCPAddr).Port, args: args}
	t.Cleanup(func() {
		if p.cmd != nil {
			p.stop()
		}
	})
	return p
}

func (p *natsProcess) url() string { return "nats://127.0.0.1:" + strconv.Itoa(p.port) }

func (p *natsProcess) start() {
	p.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	args := append([]string{"-a", "127.0.0.1", "-p", strconv.Itoa(p.port), "-sd", p.t.TempDir()}, p.args...)
	p.cmd = exec.Command(exe, args...)
	p.cmd.Env = append(os.Environ(), natsArgsEnv+"=1")
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *natsProcess) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

func (p *natsProcess) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGCONT) // a frozen one would never get the first
	p.wait()
}

// freeze returns when the server does nothing any more: the signal alone takes its time.
func (p *natsProcess) freeze() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	var state syscall.WaitStatus
	if _, err := syscall.Wait4(p.cmd.Process.Pid, &state, syscall.WUNTRACED, nil); err != nil || !state.Stopped() {
		p.t.Fatalf("the server is not frozen: %v, %v", state, err)
	}
}

func (p *natsProcess) wait() {
	_ = p.cmd.Wait() // its exit code says only that a signal ended it
	p.cmd = nil
}

func connect(t testing.TB, cfg Config) *Bus {
	t.Helper()
	if cfg.Log == nil {
		if _, isTest := t.(*testing.T); isTest {
			cfg.Log = zaptest.NewLogger(t)
		}
	}
	b, err := Connect(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func connectReady(t testing.TB, cfg Config) *Bus {
	t.Helper()
	b := connect(t, cfg)
	waitReady(t, b)
	return b
}

func waitReady(t testing.TB, b *Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.Ready(ctx); err != nil {
		t.Fatal(err)
	}
}

func waitKnown(t testing.TB, b *Bus) {
	t.Helper()
	select {
	case <-b.Known():
	case <-time.After(patience):
		t.Fatal("the directory is never known")
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func trade(symbol string) market.Stream {
	return market.Stream{Channel: market.ChannelTrade, Symbol: symbol}
}

func quote(symbol string) market.Stream {
	return market.Stream{Channel: market.ChannelQuote, Symbol: symbol}
}

func bar(symbol string) market.Stream {
	return market.Stream{Channel: market.ChannelBar, Symbol: symbol}
}

// eventually is for what nothing announces, such as the moment in which JetStream has stored
// what it was sent.
var eventually = waiting.For

// running is a Run whose deliveries are read one by one.
type running struct {
	t         testing.TB
	messages  chan string // "quote BTC/USD: body"
	announced chan string // "BTC/USD: trade,quote"
	lost      chan string
}

func run(t testing.TB, b *Bus) *running {
	t.Helper()
	r := &running{
		t:         t,
		messages:  make(chan string, 100_000),
		announced: make(chan string, 100_000),
		lost:      make(chan string, 1000),
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- b.Run(ctx, Handler{
			Messages: func(batch []Message) {
				for _, m := range batch {
					s, err := ParseSubject(m.Subject)
					if err != nil {
						t.Errorf("delivered: %v", err)
					}
					r.messages <- s.String() + ": " + string(m.Data)
				}
			},
			Announced: func(symbol string, channels []market.Channel) {
				r.announced <- symbol + ": " + joinChannels(channels)
			},
			Lost: func(reason string) { r.lost <- reason },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

func (r *running) next(from chan string) string {
	r.t.Helper()
	select {
	case s := <-from:
		return s
	case <-time.After(patience):
		r.t.Fatal("nothing came")
		return ""
	}
}
