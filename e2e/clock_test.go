//go:build clock

package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// jumpSource makes a streamer's wall clock jump an hour on by SIGUSR1, and back by SIGUSR2.
const jumpSource = `package main

import (
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	_ "unsafe"
)

//go:linkname wallJump time.wallJump
var wallJump int64

func init() {
	jumps := make(chan os.Signal, 1)
	signal.Notify(jumps, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range jumps {
			by := int64(3600)
			if s == syscall.SIGUSR2 {
				by = -by
			}
			atomic.AddInt64(&wallJump, by)
		}
	}()
}
`

// buildJumping builds a streamer over a time package whose wall clock jumps, alone: nothing
// in a program can tell it from a clock that was set.
func buildJumping(t *testing.T) {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	source, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	const reads = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	jumping := strings.Replace(string(source), reads, reads+"\tsec += wallJump\n", 1) +
		"\n//go:linkname wallJump\nvar wallJump int64\n"
	if strings.Count(jumping, "wallJump") != 3 {
		t.Fatal("this Go's time.Now reads the clock in another way")
	}
	program, err := filepath.Abs("../cmd/streamer/jump.go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace := map[string]string{original: filepath.Join(dir, "time.go"), program: filepath.Join(dir, "jump.go")}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{replace[original]: jumping, replace[program]: jumpSource, filepath.Join(dir, "overlay.json"): string(overlay)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-ldflags", "-checklinkname=0",
		"-o", filepath.Join(bin, "streamer-jumps"), "../cmd/streamer")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// Event times follow the wall clock; nothing else does. Nobody is cut, and no timer waits for
// the hour that was taken back.
func TestTheWallClockJumps(t *testing.T) {
	buildJumping(t)
	for _, engine := range []string{"epoll", "goroutine"} {
		t.Run(engine, func(t *testing.T) {
			node := &streamer{process: start(t, "streamer-jumps", "--demo", "--engine", engine, "--heartbeat", "1s",
				"--slow-timeout", "3s", "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0")}
			pairs := node.ready()
			node.addr, node.admin = pairs["addr"], pairs["admin_addr"]
			s, idle := node.dial(codec.MsgPack), node.dial(codec.JSON)
			await(t, "the feed", func() bool {
				_, ok := s.ask(codec.Request{Op: codec.OpSubscribe, Channels: market.AllChannels(), Symbols: []string{market.Wildcard}}).(codec.Ack)
				return ok
			})
			idle.send(codec.Request{Op: codec.OpStats, EveryMS: 100})
			stats := func() (n int) {
				idle.mu.Lock()
				defer idle.mu.Unlock()
				for _, ev := range idle.others {
					if _, ok := ev.(codec.Stat); ok {
						n++
					}
				}
				return n
			}
			for _, jump := range []struct {
				name  string
				by    syscall.Signal
				ahead time.Duration
			}{
				{"an hour on", syscall.SIGUSR1, time.Hour}, {"back", syscall.SIGUSR2, 0},
				{"an hour back", syscall.SIGUSR2, -time.Hour}, {"on again", syscall.SIGUSR1, 0},
			} {
				node.signal(jump.by)
				await(t, "the clock to jump "+jump.name, func() bool {
					pong, ok := s.ask(codec.Request{Op: codec.OpPing}).(codec.Pong)
					return ok && time.Until(time.Unix(0, pong.Time)).Round(30*time.Minute) == jump.ahead
				})
				before := stats()
				await(t, "timers to go on", func() bool { return stats() >= before+3 })
				s.flows(100)
				if n := metric(t, node.admin, "tickcast_connections"); n != 2 || node.readyz() != 200 {
					t.Errorf("%s: %v connections, /readyz %d", jump.name, n, node.readyz())
				}
			}
			if cut := metric(t, node.admin, "tickcast_slow_consumers_cut_total"); cut != 0 {
				t.Errorf("%v sessions were cut", cut)
			}
			if gaps := s.gaps(); len(gaps) > 0 {
				t.Errorf("gaps: %+v", gaps)
			}
			node.stop()
		})
	}
}
