package e2e_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is one program that runs until it ends by itself, or the test does.
type process struct {
	t              *testing.T
	name           string
	cmd            *exec.Cmd
	stdout, stderr output
	exited         chan struct{}
}

// An output gathers what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return launch(t, filepath.Join(bin, name), args...)
}

func launch(t *testing.T, path string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: filepath.Base(path), cmd: exec.Command(path, args...), exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // ExitCode tells
		close(p.exited)
	}()
	t.Cleanup(p.end)
	return p
}

// logShown bounds what a failed test prints of each process.
const logShown = 16 << 10

func (p *process) end() {
	_ = p.cmd.Process.Kill() // may be gone already
	<-p.exited
	log := p.stderr.String()
	for _, sign := range []string{"DATA RACE", "panic: ", "fatal error: "} {
		if at := strings.Index(log, sign); at >= 0 {
			p.t.Errorf("%s: %.4000s", p.name, log[at:])
		}
	}
	if p.name == "streamer" || p.name == "feed" {
		p.checkLog(log)
	}
	if p.t.Failed() {
		p.t.Logf("%s, exit code %d, wrote:\n%s%s", strings.Join(p.cmd.Args, " "), p.cmd.ProcessState.ExitCode(), p.stdout.String(), log[max(0, len(log)-logShown):])
	}
}

// checkLog holds what the programs log when nobody sees it on a terminal to one JSON object a
// line, with what every line has.
func (p *process) checkLog(log string) {
	if p.cmd.ProcessState.ExitCode() == 2 {
		return // a wrong option is told in plain words
	}
	for line := range strings.Lines(log) {
		var fields struct{ Level, Ts, Msg string }
		whole := strings.HasSuffix(line, "\n") // a process that was killed may have been writing
		if err := json.Unmarshal([]byte(line), &fields); whole && (err != nil || fields.Level == "" || fields.Ts == "" || fields.Msg == "") {
			p.t.Errorf("%s logs a line that is no JSON with level, ts and msg: %.300q", p.name, line)
			return
		}
	}
}

func (p *process) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// wait returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.name)
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop ends the process as an operator would.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		p.t.Errorf("%s: exit code %d after SIGTERM", p.name, code)
	}
}

// ready waits for the line of that name and returns its pairs.
func (p *process) ready() map[string]string {
	p.t.Helper()
	pairs := make(map[string]string)
	await(p.t, p.name+" to be ready", func() bool {
		select {
		case <-p.exited:
			p.t.Fatalf("%s ended before it was ready", p.name)
		default:
		}
		line, whole := strings.CutSuffix(p.stdout.String(), "\n")
		words := strings.Fields(line)
		if !whole || words[0] != "ready" {
			return false
		}
		for _, word := range words[1:] {
			name, value, _ := strings.Cut(word, "=")
			pairs[name] = value
		}
		return true
	})
	return pairs
}

// A natsServer keeps its port from one start to the next, and nothing else.
type natsServer struct {
	*process
	t    *testing.T
	url  string
	port string

	plain bool     // without JetStream
	more  []string // arguments, of one that is in a cluster
	store string
}

func startNATS(t *testing.T) *natsServer {
	t.Helper()
	n := &natsServer{t: t, port: "-1"}
	n.start()
	return n
}

func (n *natsServer) start() {
	n.t.Helper()
	dir := n.t.TempDir()
	args := []string{"-a", "127.0.0.1", "-p", n.port, "--ports_file_dir", dir}
	if !n.plain {
		if n.store == "" || len(n.more) == 0 {
			n.store = n.t.TempDir() // nothing but a cluster's log outlives a stop
		}
		args = append(args, "-js", "-sd", n.store)
	}
	n.process = start(n.t, "nats-server", append(args, n.more...)...)
	await(n.t, "NATS to say where it listens", func() bool {
		files, _ := filepath.Glob(filepath.Join(dir, "*.ports"))
		if len(files) == 0 {
			return false
		}
		var ports struct{ Nats []string }
		text, err := os.ReadFile(files[0])
		if err != nil || json.Unmarshal(text, &ports) != nil || len(ports.Nats) == 0 {
			return false // half written
		}
		u, err := url.Parse(ports.Nats[0])
		if err != nil {
			n.t.Fatal(err)
		}
		n.url, n.port = ports.Nats[0], u.Port()
		return true
	})
}

// stop does not judge the exit code, which is not ours.
func (n *natsServer) stop() {
	n.t.Helper()
	n.signal(syscall.SIGTERM)
	n.wait()
}

// A feeder is a running feed.
type feeder struct {
	*process
	admin string
}

func startFeed(t *testing.T, n *natsServer, args ...string) *feeder {
	t.Helper()
	f := &feeder{process: start(t, "feed", append(args, "--nats", n.url)...)}
	f.admin = f.ready()["admin_addr"]
	return f
}

// A streamer is a running node.
type streamer struct {
	*process
	addr, admin string
	secure      bool   // serves TLS
	from, token string // its subscribers' address and token, if they matter
}

func startStreamer(t *testing.T, n *natsServer, args ...string) *streamer {
	t.Helper()
	return serveStreamer(t, append(args, "--nats", n.url)...)
}

func serveStreamer(t *testing.T, args ...string) *streamer {
	t.Helper()
	s := &streamer{process: start(t, "streamer", append([]string{"--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--page-requests-per-second", "1000000"}, args...)...)}
	pairs := s.ready()
	s.addr, s.admin = pairs["addr"], pairs["admin_addr"]
	return s
}

// logged returns the lines of the log that have the message.
func (p *process) logged(msg string) []map[string]any {
	var found []map[string]any
	for line := range strings.Lines(p.stderr.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == msg {
			found = append(found, fields)
		}
	}
	return found
}
