package options_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tickcast/tickcast/internal/options"
)

type demo struct {
	options.File
	Addr    string        `default:":8080" help:"Where to listen."`
	Wait    time.Duration `default:"5s" help:"How long."`
	Pending options.Bytes `default:"1MiB" help:"How much."`
	Origins []string      `help:"Who."`
	On      bool          `negatable:"" default:"true" help:"Whether."`
}

func (d *demo) Validate() error {
	if d.Addr == "bad" {
		return errors.Join(errors.New("addr is bad"), errors.New("and more"))
	}
	return nil
}

func TestPrecedence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("addr: file\nwait: 7s\npending: 2KiB\norigins: [a, b]\non: false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		env  map[string]string
		args []string
		want demo
	}{
		{"defaults", nil, nil, demo{Addr: ":8080", Wait: 5 * time.Second, Pending: 1 << 20, On: true}},
		{"the file beats a default", nil, []string{"--config", file}, demo{Addr: "file", Wait: 7 * time.Second, Pending: 2048, Origins: []string{"a", "b"}}},
		{"the environment beats the file", map[string]string{"TICKCAST_ADDR": "env"}, []string{"--config", file}, demo{Addr: "env", Wait: 7 * time.Second, Pending: 2048, Origins: []string{"a", "b"}}},
		{"a flag beats all", map[string]string{"TICKCAST_ADDR": "env"}, []string{"--config", file, "--addr=flag", "--on"}, demo{Addr: "flag", Wait: 7 * time.Second, Pending: 2048, Origins: []string{"a", "b"}, On: true}},
		{"the environment names the file", map[string]string{"TICKCAST_CONFIG": file}, nil, demo{Addr: "file", Wait: 7 * time.Second, Pending: 2048, Origins: []string{"a", "b"}}},
		{"the environment alone", map[string]string{"TICKCAST_WAIT": "1m", "TICKCAST_ORIGINS": "x,y"}, nil, demo{Addr: ":8080", Wait: time.Minute, Pending: 1 << 20, Origins: []string{"x", "y"}, On: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			var got demo
			if err := options.Read("demo", "", &got, tt.args, &bytes.Buffer{}); err != nil {
				t.Fatal(err)
			}
			got.Config = ""
			if strings.Join(got.Origins, ",") != strings.Join(tt.want.Origins, ",") {
				t.Errorf("origins: got %v, want %v", got.Origins, tt.want.Origins)
			}
			got.Origins, tt.want.Origins = nil, nil
			if got.Addr != tt.want.Addr || got.Wait != tt.want.Wait || got.Pending != tt.want.Pending || got.On != tt.want.On {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestGivenIsWhatIsMeantForThisProgram(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("wait: 5s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TICKCAST_ORIGINS", "x")
	t.Setenv("TICKCAST_PENDING", "2MiB")
	var d demo
	if err := options.Read("demo", "", &d, []string{"--config", file, "--addr=:8080", "--pending=1MiB"}, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	for option, want := range map[string]bool{
		"addr":    true, // on the command line, though it is the default
		"wait":    true, // in the file, though it is the default
		"pending": true, // in the environment too
		"origins": false,
		"on":      false,
	} {
		if d.Given(option) != want {
			t.Errorf("Given(%q) is %v, want %v", option, !want, want)
		}
	}
}

func TestWhatIsWrongIsNamedInOneLine(t *testing.T) {
	write := func(text string) string {
		name := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, tt := range []struct {
		name string
		env  string
		args []string
		want string
	}{
		{"unknown option", "", []string{"--nonsense"}, "--nonsense"},
		{"bad duration", "", []string{"--wait=soon"}, "--wait"},
		{"bad size", "", []string{"--pending=lots"}, "--pending"},
		{"stray word", "", []string{"word"}, "word"},
		{"bad environment", "soon", nil, "TICKCAST_WAIT"},
		{"unknown option in the file", "", []string{"--config", write("nonsense: 1\n")}, "nonsense"},
		{"bad value in the file", "", []string{"--config", write("wait: soon\n")}, "wait"},
		{"file that is no YAML", "", []string{"--config", write("a: b: c")}, "c.yaml"},
		{"no such file", "", []string{"--config", "/no/such.yaml"}, "/no/such.yaml"},
		{"what Validate says", "", []string{"--addr=bad"}, "addr is bad; and more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.env != "" {
				t.Setenv("TICKCAST_WAIT", tt.env)
			}
			var d demo
			err := options.Read("demo", "", &d, tt.args, &bytes.Buffer{})
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want one line with %q", err, tt.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	var d demo
	var out bytes.Buffer
	if err := options.Read("demo", "Shows things.", &d, []string{"--help"}, &out); !errors.Is(err, options.ErrHelp) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"--addr", "Where to listen", "TICKCAST_ADDR", "--config"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("help has no %q:\n%s", want, out.String())
		}
	}
}
