package check

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// What is taken from a registry has a whole version, so that two builds of one commit are of the
// same parts. Go and NATS are those that the programs are built and tested with.
func TestImagesOfOthersArePinned(t *testing.T) {
	out, err := exec.Command("go", "-C", "../..", "list", "-m", "-f", "{{if .Main}}{{.GoVersion}}{{else}}{{.Version}}{{end}}",
		"github.com/tickcast/tickcast", "github.com/nats-io/nats-server/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	built := strings.Fields(string(out))
	want := map[string]string{"golang": built[0], "nats": strings.TrimPrefix(built[1], "v"), "node": "", "haproxy": ""}
	taken := regexp.MustCompile(`(?m)^(?:FROM (?:--platform=\S+ )?|  +image: )([a-z]+):(\S+)`)
	whole := regexp.MustCompile(`^(\d+\.\d+\.\d+)-`)
	seen := make(map[string]bool)
	for _, file := range []string{"../image/Dockerfile", "../compose/compose.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range taken.FindAllStringSubmatch(string(text), -1) {
			name, tag := m[1], m[2]
			if name == "tickcast" {
				continue // built from this checkout
			}
			seen[name] = true
			version, known := want[name]
			if got := whole.FindStringSubmatch(tag); got == nil || !known || version != "" && got[1] != version {
				t.Errorf("%s: %s:%s, want a whole version %s", file, name, tag, version)
			}
		}
	}
	if len(seen) != len(want) {
		t.Errorf("found %v", seen)
	}
}
