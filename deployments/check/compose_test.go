package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
)

// The compose file is one that the engine's own reader takes, and what it names is there.
func TestComposeFileIsWhole(t *testing.T) {
	file, err := cli.NewProjectOptions([]string{"../compose/compose.yaml"}, cli.WithDotEnv, cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := file.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files := []string{}
	for name, s := range project.Services {
		if s.Build != nil {
			files = append(files, filepath.Join(s.Build.Context, s.Build.Dockerfile))
		}
		for _, v := range s.Volumes {
			files = append(files, v.Source)
		}
		program := strings.TrimPrefix(strings.Join(s.Entrypoint, ""), "/")
		if strings.HasPrefix(name, "node-") {
			program = "streamer"
		}
		if program == "" {
			continue // not ours
		}
		known := options(t, program)
		for _, arg := range s.Command {
			if option, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "="); !known[option] {
				t.Errorf("%s: %s has no option --%s", name, program, option)
			}
		}
		for _, address := range regexp.MustCompile(`nats://([^:,]+):`).FindAllStringSubmatch(*s.Environment["TICKCAST_NATS"], -1) {
			if _, there := project.Services[address[1]]; !there {
				t.Errorf("%s looks for %s, which is no service", name, address[1])
			}
		}
	}
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
	}
	proxy, err := os.ReadFile("../compose/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range regexp.MustCompile(`(?m)^ *server (\S+) `).FindAllStringSubmatch(string(proxy), -1) {
		if _, there := project.Services[line[1]]; !there {
			t.Errorf("the proxy looks for %s, which is no service", line[1])
		}
	}
}

// The servers themselves read what they are given, and warn of nothing.
func TestServersTakeTheirConfiguration(t *testing.T) {
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin")
	text, err := os.ReadFile("../compose/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	proxy := filepath.Join(t.TempDir(), "haproxy.cfg")
	here := regexp.MustCompile(`node-[0-9]+:`).ReplaceAll(text, []byte("127.0.0.1:")) // those names are the engine's
	if err := os.WriteFile(proxy, here, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		cmd  []string
	}{
		{"haproxy", []string{"haproxy", "-c", "-f", proxy}},
		{"nats of compose", []string{"go", "run", "github.com/nats-io/nats-server/v2", "-t", "-c", "deployments/compose/nats.conf"}},
		{"nats of one machine", []string{"go", "run", "github.com/nats-io/nats-server/v2", "-t", "-c", "deployments/nats/nats-server.conf"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(tt.cmd[0], tt.cmd[1:]...)
			cmd.Dir = "../.." // where go.mod names the server
			cmd.Env = append(os.Environ(), "NAME=nats-1")
			if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "[WARNING]") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
