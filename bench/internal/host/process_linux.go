package host

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Process is a program that was started here.
type Process struct {
	cmd   *exec.Cmd
	lines *bufio.Reader
	done  chan struct{}
	said  tail // what it wrote to standard error
}

// Start runs a program on the given cores; none means all. It is killed with its parent.
func Start(cores []int, program string, args ...string) (*Process, error) {
	cmd := exec.Command(program, args...)
	p := &Process{cmd: cmd, done: make(chan struct{})}
	out, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = w, &p.said
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	err = startOn(cores, cmd)
	_ = w.Close()
	if err != nil {
		_ = out.Close()
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	p.lines = bufio.NewReader(out)
	go func() {
		_ = cmd.Wait() // Stop tells
		close(p.done)
	}()
	return p, nil
}

// starter is the one thread that starts processes: a child inherits the cores of the thread
// that starts it, and dies with that thread, which therefore never ends.
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

func startOn(cores []int, cmd *exec.Cmd) error {
	cmd.Env = slices.DeleteFunc(os.Environ(), func(pair string) bool {
		return strings.HasPrefix(pair, "TICKCAST_") // would be an option of every streamer
	})
	result := make(chan error)
	starter() <- func() {
		var all, some unix.CPUSet
		if len(cores) == 0 {
			result <- cmd.Start()
			return
		}
		for _, c := range cores {
			some.Set(c)
		}
		err := unix.SchedGetaffinity(0, &all)
		if err == nil {
			err = unix.SchedSetaffinity(0, &some)
		}
		if err == nil {
			err = cmd.Start()
			_ = unix.SchedSetaffinity(0, &all)
		}
		result <- err
	}
	return <-result
}

// Cores returns the cores that this process may run on.
func Cores() []int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	var all []int
	for c := 0; len(all) < set.Count(); c++ {
		if set.IsSet(c) {
			all = append(all, c)
		}
	}
	return all
}

// PID is the process's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ready waits for the line that begins with "ready" and returns its pairs of name and value.
func (p *Process) Ready(ctx context.Context) (map[string]string, error) {
	stop := context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })
	defer stop()
	for {
		line, err := p.lines.ReadString('\n')
		if err != nil {
			return nil, p.failed("ended before it was ready")
		}
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "ready" {
			continue
		}
		pairs := make(map[string]string)
		for _, word := range words[1:] {
			name, value, _ := strings.Cut(word, "=")
			pairs[name] = value
		}
		go func() { _, _ = io.Copy(io.Discard, p.lines) }()
		return pairs, nil
	}
}

// stopWithin is how long a process may take to end by itself.
const stopWithin = 5 * time.Second

// Stop ends the process and returns when it has.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopWithin):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Kill ends the process at once: for servers whose goodbyes nobody waits for.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *Process) failed(what string) error {
	return fmt.Errorf("%s %s: %s", p.cmd.Args[0], what, p.said.String())
}

// Output runs a program on the given cores to its end and returns what it printed.
func Output(ctx context.Context, cores []int, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var out bytes.Buffer
	var said tail
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := startOn(cores, cmd); err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, said.String()), ctx.Err())
	}
	return out.Bytes(), nil
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	t.b = t.b[max(0, len(t.b)-tailBytes):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
