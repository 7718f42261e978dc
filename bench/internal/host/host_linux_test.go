package host

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestOwnProcessIsReadTwoWays(t *testing.T) {
	for OwnCPU() < 50*time.Millisecond { // some work, so that there is something to read
		_ = strings.Repeat("x", 1<<16)
	}
	const slack = 20 * time.Millisecond // getrusage may count in ticks
	before := OwnCPU()
	cpu, err := CPU(os.Getpid())
	if err != nil || cpu < before-slack || cpu > OwnCPU()+slack {
		t.Errorf("the clock of the process says %v, getrusage %v: %v", cpu, before, err)
	}
	if rss, err := RSS(os.Getpid()); err != nil || rss < 1<<20 {
		t.Errorf("%d bytes in memory, %v", rss, err)
	}
	if waited, err := Waited(os.Getpid()); err != nil || waited < 0 {
		t.Errorf("waited %v, %v", waited, err)
	}
}

func TestAProcessRunsOnItsCores(t *testing.T) {
	cores := Cores()
	if len(cores) == 0 {
		t.Fatal("no cores")
	}
	one := cores[len(cores)-1:]
	out, err := Output(t.Context(), one, "grep", "Cpus_allowed_list", "/proc/self/status")
	if want := []string{"Cpus_allowed_list:", strconv.Itoa(one[0])}; err != nil || strings.Join(strings.Fields(string(out)), " ") != strings.Join(want, " ") {
		t.Errorf("%q, %v, want %q", out, err, want)
	}
	if again := Cores(); len(again) != len(cores) {
		t.Errorf("this process may run on %v, before on %v", again, cores)
	}
	if _, err := Output(t.Context(), nil, "sh", "-c", "echo broken >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("a program that fails: %v", err)
	}
}

func TestReadyLinesAreRead(t *testing.T) {
	p, err := Start(nil, "sh", "-c", "echo hello; echo ready addr=1.2.3.4:5 x=y; exec sleep 60")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	pairs, err := p.Ready(t.Context())
	if err != nil || pairs["addr"] != "1.2.3.4:5" || pairs["x"] != "y" {
		t.Errorf("%v, %v", pairs, err)
	}
	dead, err := Start(nil, "sh", "-c", "echo why >&2")
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Kill()
	if _, err := dead.Ready(t.Context()); err == nil {
		t.Error("a process that ended is ready")
	}
}
