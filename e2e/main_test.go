// Package e2e_test runs the programs as an operator does, each as a process of its own, and
// holds what subscribers see over real sockets against docs/protocol.md. The programs are
// built with the race detector: a race in one fails the test that ran it.
package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tickcast/tickcast/internal/waiting"
)

// patience bounds every wait of these tests. It is reached only when something is broken.
const patience = 60 * time.Second

// bin is where TestMain puts the programs.
var bin string

func TestMain(m *testing.M) {
	if order := os.Getenv(crowdVariable); order != "" {
		beCrowd(order)
		return
	}
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "TICKCAST_") {
			_ = os.Unsetenv(name) // would be an option of every process
		}
	}
	_ = os.Setenv("GORACE", "atexit_sleep_ms=50") // instead of a second at every exit
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		_ = os.RemoveAll(bin)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(bin)
		os.Exit(code)
	}))
}

func build() (err error) {
	if bin, err = os.MkdirTemp("", "tickcast-e2e-"); err != nil {
		return err
	}
	race := "-race"
	if os.Getenv("ATTACK") != "" {
		race = "-race=false" // its figures would be the detector's
	}
	for _, args := range [][]string{
		{"build", race, "-o", bin + string(filepath.Separator), "../cmd/streamer", "../cmd/feed", "../cmd/tickcast"},
		{"build", "-o", filepath.Join(bin, "nats-server"), "github.com/nats-io/nats-server/v2"},
	} {
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

var await = waiting.For
