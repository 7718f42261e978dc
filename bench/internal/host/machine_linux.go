package host

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Stamp says where, when and of what a result was measured.
type Stamp struct {
	Time    time.Time `json:"time"`
	CPU     string    `json:"cpu"`
	Cores   int       `json:"cores"`
	Kernel  string    `json:"kernel"`
	Go      string    `json:"go"`
	Commit  string    `json:"commit"` // with "+" behind it where files differ from it
	Command string    `json:"command"`
}

// String is for people; the command is not in it.
func (s Stamp) String() string {
	return fmt.Sprintf("%s, commit %s, %s, %d cores, Linux %s, %s", s.Time.Format("2006-01-02 15:04 MST"), s.Commit, s.CPU, s.Cores, s.Kernel, s.Go)
}

// NewStamp asks the machine and git. command is what to run for the same again.
func NewStamp(command string) Stamp {
	s := Stamp{Time: time.Now().UTC().Truncate(time.Second), Cores: len(Cores()), Go: runtime.Version(), Command: command}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		s.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		for lines := bufio.NewScanner(f); s.CPU == "" && lines.Scan(); {
			if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
				s.CPU = strings.TrimSpace(value)
			}
		}
		_ = f.Close()
	}
	s.Commit = git("rev-parse", "--short=12", "HEAD")
	if git("status", "--porcelain", "--untracked-files=no") != "" {
		s.Commit += "+"
	}
	return s
}

func git(args ...string) string {
	out, err := exec.Command("git", args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
