package check

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// options returns the options of a program, from the table that a test beside it holds to
// the program.
func options(t *testing.T, program string) map[string]bool {
	t.Helper()
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(doc), "\n## Options of "+program+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	names := make(map[string]bool)
	for _, row := range regexp.MustCompile("(?m)^\\| `--(?:\\[no-])?([a-z-]+)` \\|").FindAllStringSubmatch(text, -1) {
		names[row[1]] = true
	}
	if len(names) < 5 {
		t.Fatalf("%s has the options %v", program, names)
	}
	return names
}

// A run is how the chart starts a program.
type run struct {
	args   []string
	config string // the options file
	env    []core.EnvVar
}

func runOf(t *testing.T, manifest, program string) (r run, there bool) {
	t.Helper()
	objects, err := decode(manifest)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range of[apps.Deployment](objects) {
		if c := d.Spec.Template.Spec.Containers[0]; c.Name == program {
			r.args, there = c.Args, true
			r.config = of[core.ConfigMap](objects)[d.Name].Data[program+".yaml"]
			r.env = c.Env
		}
	}
	return r, there
}

func TestOptionsAreTheProgramsOwn(t *testing.T) {
	forEachSet(t, func(t *testing.T, manifest string) {
		for _, program := range []string{"streamer", "feed"} {
			known := options(t, program)
			r, _ := runOf(t, manifest, program)
			var named []string
			for _, arg := range r.args {
				name, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
				named = append(named, name)
			}
			var config map[string]any
			if err := yaml.UnmarshalStrict([]byte(r.config), &config); err != nil {
				t.Fatal(err)
			}
			for name := range config {
				named = append(named, name)
			}
			for _, env := range r.env {
				if name, ours := strings.CutPrefix(env.Name, "TICKCAST_"); ours {
					named = append(named, strings.ToLower(strings.ReplaceAll(name, "_", "-")))
				}
			}
			for _, name := range named {
				if !known[name] {
					t.Errorf("%s has no option --%s", program, name)
				}
			}
		}
	})
}

func buildProgram(t *testing.T, pkg string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), filepath.Base(pkg))
	build := exec.Command("go", "build", "-o", bin, "./"+pkg)
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// start runs a program until the test ends, and returns the pairs of its ready line.
func start(t *testing.T, bin string, env []string, args ...string) map[string]string {
	t.Helper()
	return begin(t, bin, env, args...).ready
}

type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	ready map[string]string
	late  *time.Timer
}

// begin is start of a program that the test may stop itself.
func begin(t *testing.T, bin string, env []string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t, cmd, make(map[string]string), time.AfterFunc(10*time.Minute, func() { _ = cmd.Process.Kill() })}
	t.Cleanup(p.stop)
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	words := strings.Fields(line)
	if len(words) == 0 || words[0] != "ready" {
		t.Fatalf("%s says %q", filepath.Base(bin), line)
	}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		p.ready[name] = value
	}
	return p
}

// stop asks the program to end, and waits until it has; once is enough.
func (p *process) stop() {
	if !p.late.Stop() {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%s: %v", filepath.Base(p.cmd.Path), err)
	}
}

// The streamer itself takes what the chart gives it: types and ranges too.
func TestStreamerStartsAsTheChartStartsIt(t *testing.T) {
	bin := buildProgram(t, "cmd/streamer")
	for name, values := range map[string]string{
		"as it is": "",
		"with options": `streamer: {config: {policy: trade=aggregate, max-connections: 1000000, batch-interval: 2ms, compression: false,
			allowed-origins: [https://a.example.com, https://b.example.com], pending-bytes: 65536}}`,
	} {
		t.Run(name, func(t *testing.T) {
			manifest, err := render(values)
			if err != nil {
				t.Fatal(err)
			}
			r, _ := runOf(t, manifest, "streamer")
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "streamer.yaml"), []byte(r.config), 0o600); err != nil {
				t.Fatal(err)
			}
			for i, arg := range r.args {
				r.args[i] = strings.NewReplacer("/etc/tickcast", dir, "=:8080", "=127.0.0.1:0", "=:9090", "=127.0.0.1:0").Replace(arg)
			}
			start(t, bin, []string{"TICKCAST_NATS=embedded", "TICKCAST_NAME=pod-1", "GOMEMLIMIT=1638MiB"}, r.args...)
		})
	}
}
