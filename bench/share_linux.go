package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tickcast/tickcast/bench/internal/fleet"
	"github.com/tickcast/tickcast/bench/internal/host"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// A share is what one process does of a load: First to First+Members-1 of the plan.
type share struct {
	Load    load
	Plan    fleet.Plan
	First   int
	Members int
}

// news is what a share tells, once a second and at the end of each phase: what it has seen
// since the last time.
type news struct {
	Phase string // connecting, ready, counting, done
	fleet.Report
	CPU float64 // seconds that the process has used since the last time
	Err string

	first int // the share's First, by which whoever receives it tells shares apart
}

const tellEvery = time.Second

// run does the share: it connects, tells that it is ready, waits for begin, counts.
func (s *share) run(ctx context.Context, begin <-chan struct{}, tell func(news)) {
	err := s.work(ctx, begin, tell)
	if err != nil {
		tell(news{Phase: "done", Report: fleet.NewReport(), Err: err.Error()})
	}
}

func (s *share) work(ctx context.Context, begin <-chan struct{}, tell func(news)) error {
	u, err := url.Parse(s.Load.URL)
	if err != nil {
		return err
	}
	dialect, err := s.Load.dialect()
	if err != nil {
		return err
	}
	members := make([]fleet.Member, s.Members)
	for i := range members {
		members[i] = s.Plan.Member(s.First + i)
	}
	f, err := fleet.New(fleet.Config{
		URL: u, Dialect: dialect, Members: members, First: s.First,
		ConnectRate: s.Load.ConnectRate * float64(s.Members) / float64(s.Load.Subscribers),
		TLS:         s.Load.tls(), Deflate: s.Load.Compression, Header: s.Load.header(), ReadRate: s.Load.ReadRate, Nap: s.Load.Nap,
		StormEvery: s.Load.StormEvery, StormShare: s.Load.StormShare,
	})
	if err != nil {
		return err
	}
	defer f.Close()
	cpu := host.OwnCPU()
	told := func(phase string) {
		used := host.OwnCPU()
		tell(news{Phase: phase, Report: f.Take(), CPU: (used - cpu).Seconds()})
		cpu = used
	}
	if err := connect(ctx, f, func() { told("connecting") }); err != nil {
		return err
	}
	told("ready")
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-begin:
	}
	f.Take() // what came while nobody counted
	cpu = host.OwnCPU()
	end, every := time.NewTimer(s.Load.Duration), time.NewTicker(tellEvery)
	defer end.Stop()
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
			told("counting")
		case <-end.C:
			told("done")
			return nil
		}
	}
}

// connect connects the members, and tells how far they are.
func connect(ctx context.Context, f *fleet.Fleet, tell func()) error {
	connected := make(chan error, 1)
	go func() { connected <- f.Connect(ctx) }()
	every := time.NewTicker(tellEvery)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			tell()
		case err := <-connected:
			return err
		}
	}
}

func (l *load) dialect() (fleet.Dialect, error) {
	if l.Server == "nats" {
		return &fleet.NATS{}, nil
	}
	d := &fleet.Tickcast{Policy: l.Policy}
	if l.Encoding == "json" {
		d.Encoding = codec.JSON
	}
	for _, name := range l.Channels {
		ch, ok := market.ParseChannel(name)
		if !ok {
			return nil, fmt.Errorf("no channel %q", name)
		}
		d.Channels = append(d.Channels, ch)
	}
	if l.Interval >= 0 {
		ms := l.Interval.Milliseconds()
		d.IntervalMS = &ms
	}
	return d, nil
}

// shareCmd is the process of a share: it reads the share from standard input, then a line
// for each phase to begin, and prints its news.
type shareCmd struct{}

// Run implements the command.
func (*shareCmd) Run(ctx context.Context) error {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var s share
	if err := json.Unmarshal(line, &s); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	begin := make(chan struct{})
	go func() {
		if _, err := in.ReadByte(); err == nil {
			close(begin)
			_, _ = io.Copy(io.Discard, in)
		}
		stop() // the parent is gone
	}()
	out := json.NewEncoder(os.Stdout)
	var failed error
	s.run(ctx, begin, func(n news) { failed = errors.Join(failed, out.Encode(n)) })
	return failed
}

// shares are all processes of a load. One share alone runs in this process.
type shares struct {
	all     int
	news    chan news
	begin   []func() error
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func (l *load) startShares(ctx context.Context) (*shares, error) {
	ctx, cancel := context.WithCancel(ctx)
	ss := &shares{all: l.Processes, news: make(chan news), cancel: cancel}
	for i := range l.Processes {
		first, end := i*l.Subscribers/l.Processes, (i+1)*l.Subscribers/l.Processes
		s := &share{Load: *l, Plan: l.plan, First: first, Members: end - first}
		if l.Processes == 1 {
			begin := make(chan struct{})
			ss.begin = append(ss.begin, func() error { close(begin); return nil })
			ss.running.Go(func() { s.run(ctx, begin, func(n news) { ss.tell(ctx, s, n) }) })
		} else if err := ss.startProcess(ctx, s); err != nil {
			ss.stop()
			return nil, err
		}
	}
	return ss, nil
}

func (ss *shares) tell(ctx context.Context, from *share, n news) {
	n.first = from.First
	select {
	case ss.news <- n:
	case <-ctx.Done():
	}
}

func (ss *shares) startProcess(ctx context.Context, s *share) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, "share")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true} // an interrupt is this process's to handle
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ss.begin = append(ss.begin, func() error { _, err := stdin.Write([]byte("\n")); return err })
	ss.running.Go(func() {
		for in := json.NewDecoder(stdout); ; {
			var n news
			if err := in.Decode(&n); err != nil {
				break
			}
			ss.tell(ctx, s, n)
		}
		if err := cmd.Wait(); err != nil && ctx.Err() == nil {
			ss.tell(ctx, s, news{Phase: "done", Report: fleet.NewReport(), Err: err.Error()})
		}
	})
	line, err := json.Marshal(s)
	if err == nil {
		_, err = stdin.Write(append(line, '\n'))
	}
	return err
}

// stop ends what still runs and waits for it.
func (ss *shares) stop() {
	ss.cancel()
	ss.running.Wait()
}
