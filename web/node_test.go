//go:build browser

package web_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lxzan/gws"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if builtIn != "" {
		_ = os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

var (
	builtIn   string // the folder of what buildOnce built
	buildOnce = sync.OnceValues(func() (string, error) {
		var err error
		if builtIn, err = os.MkdirTemp("", "tickcast-"); err != nil {
			return "", err
		}
		bin := filepath.Join(builtIn, "streamer")
		if out, err := exec.Command("go", "build", "-o", bin, "../cmd/streamer").CombinedOutput(); err != nil {
			return "", fmt.Errorf("build cmd/streamer: %w\n%s", err, out)
		}
		return bin, nil
	})
)

func buildStreamer(t *testing.T) string {
	t.Helper()
	bin, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// A nodeProcess is a streamer.
type nodeProcess struct {
	addr, admin string

	kill func()       // as a power cut would; returns when it is gone
	stop func() error // asks it to drain
}

// startNode returns when the node says that it is ready. Without further options it has its own
// demo feed.
func startNode(t *testing.T, bin, addr string, options ...string) nodeProcess {
	t.Helper()
	if len(options) == 0 {
		options = []string{"--demo"}
	}
	cmd := exec.Command(bin, append(options, "--addr", addr, "--admin-addr", "127.0.0.1:0", "--log-format", "json")...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start the node: %v", err)
	}
	ready := make(chan nodeProcess, 1)
	logRead := make(chan struct{})
	var log []string // until logRead
	go func() {
		defer close(logRead)
		defer close(ready)
		told := false
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line struct {
				Msg, Addr string
				Admin     string `json:"admin_addr"`
			}
			if log = append(log, lines.Text()); json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" && !told {
				told = true
				ready <- nodeProcess{addr: line.Addr, admin: line.Admin}
			}
		}
	}()
	kill := sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		<-logRead
		_ = cmd.Wait() // says "killed"
	})
	t.Cleanup(kill)

	select {
	case got, ok := <-ready:
		if ok {
			got.kill, got.stop = kill, func() error { return cmd.Process.Signal(syscall.SIGTERM) }
			return got
		}
	case <-time.After(waitWithin):
	}
	kill()
	t.Fatalf("the node ended or hung before it was ready: %q", log)
	return nodeProcess{}
}

// A tape holds every price that one subscriber was sent.
type tape struct {
	gws.BuiltinEventHandler
	t *testing.T

	mu     sync.Mutex
	prices map[string]bool
	trades map[string]float64 // prices by symbol and seq
}

// listen subscribes to the trades and quotes of symbols, in JSON and with nothing melted
// together, until the test ends.
func listen(t *testing.T, addr string, symbols []string) *tape {
	t.Helper()
	h := &tape{t: t, prices: make(map[string]bool), trades: make(map[string]float64)}
	conn, _, err := gws.NewClient(h, &gws.ClientOption{
		Addr:          "ws://" + addr + "/v1/stream",
		RequestHeader: http.Header{"Sec-Websocket-Protocol": {"tickcast.v1.json"}},
	})
	if err != nil {
		t.Fatalf("connect beside the page: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn.ReadLoop()
	}()
	t.Cleanup(func() {
		_ = conn.NetConn().Close()
		<-done
	})
	request, err := json.Marshal(map[string]any{
		"op": "subscribe", "id": 1, "channels": []string{"trade", "quote"}, "symbols": symbols,
		"policy": "disconnect", "interval_ms": 0,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.WriteMessage(gws.OpcodeText, request); err != nil {
		t.Fatalf("subscribe beside the page: %v", err)
	}
	return h
}

func (h *tape) has(price string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.prices[price]
}

// trade returns the price of a trade, and whether it was published while this listened.
func (h *tape) trade(symbol string, seq int64) (price float64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	price, ok = h.trades[fmt.Sprint(symbol, " ", seq)]
	return price, ok
}

func (h *tape) OnMessage(_ *gws.Conn, message *gws.Message) {
	defer message.Close()
	var batch [][]any
	if err := json.Unmarshal(message.Bytes(), &batch); err != nil {
		h.t.Errorf("read a batch: %v", err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, event := range batch {
		if event[0] == "snap" {
			event, _ = event[3].([]any)
		}
		if price := priceOf(event); price != "" {
			h.prices[price] = true
		}
		if len(event) > 5 && event[0] == "t" {
			h.trades[fmt.Sprintf("%s %.0f", event[1], event[2])] = event[4].(float64)
		}
	}
}

func priceOf(event []any) string {
	switch {
	case len(event) > 5 && event[0] == "t":
		return priceKey("trade", event[1].(string), event[4].(float64))
	case len(event) > 6 && event[0] == "q":
		return priceKey("quote", event[1].(string), event[4].(float64), event[6].(float64))
	default:
		return ""
	}
}

// priceKey names what a row can show of one event: the price of a trade, bid and ask of a quote.
func priceKey(channel, symbol string, prices ...float64) string {
	return fmt.Sprint(channel, " ", symbol, " ", prices)
}

// number reads what the page wrote; -1 for an empty cell, which is no price.
func number(raw string) float64 {
	v, err := strconv.ParseFloat(raw, 64)
	if err != nil {
		return -1
	}
	return v
}
