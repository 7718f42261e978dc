package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tickcast/tickcast/bench/internal/host"
)

// checkCore refuses a --server-core that this machine has not.
func checkCore(server int) error {
	if cores := host.Cores(); !slices.Contains(cores, server) {
		return fmt.Errorf("--server-core %d: there are %v", server, cores)
	}
	return nil
}

// splitCores gives the server one core, and all others what it is measured with.
func splitCores(server int) (own, rest []int, err error) {
	rest = slices.DeleteFunc(host.Cores(), func(core int) bool { return core == server })
	if len(rest) == 0 {
		return nil, nil, fmt.Errorf("the server needs core %d for itself and the load another: there is no other", server)
	}
	return []int{server}, rest, nil
}

// streamer returns the program to measure: the given one, or else this module's, built into dir.
func streamer(ctx context.Context, given, dir string) (string, error) {
	if given != "" {
		return given, nil
	}
	built := filepath.Join(dir, "streamer")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", built, "github.com/tickcast/tickcast/cmd/streamer").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the streamer, for want of --streamer: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return built, nil
}

// makeOut makes the folder for a result before minutes are spent on it.
func makeOut(folder string) error {
	if folder == "" {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}
