package e2e_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// A watch measures how late the trades of one subscriber are, and how long none comes.
type watch struct {
	late   *hdrhistogram.Histogram // µs from the venue's clock to the subscriber
	last   time.Time
	pause  time.Duration
	trades int
}

func newWatch() *watch {
	return &watch{late: hdrhistogram.New(1, int64(time.Hour/time.Microsecond), 2)}
}

func (w *watch) see(events []codec.Event) {
	now := time.Now()
	for _, ev := range events {
		tr, ok := ev.(market.Trade)
		if !ok {
			continue
		}
		if w.trades++; w.trades > 1 {
			w.pause = max(w.pause, now.Sub(w.last))
		}
		w.last = now
		_ = w.late.RecordValue(max(1, (now.UnixNano()-tr.Time)/1000)) // an hour at the most
	}
}

// A delay is what the watches of many saw over some time.
type delay struct {
	trades               int64
	median, worst, pause time.Duration
}

// delayOf is how late the subscribers' trades were since the last call.
func delayOf(subs []*subscriber) delay {
	all, d := newWatch(), delay{}
	for _, s := range subs {
		s.mu.Lock()
		if s.watch != nil {
			all.late.Merge(s.watch.late)
			d.pause = max(d.pause, s.watch.pause)
		}
		s.watch = newWatch()
		s.mu.Unlock()
	}
	d.trades = all.late.TotalCount()
	d.median = time.Duration(all.late.ValueAtQuantile(50)) * time.Microsecond
	d.worst = time.Duration(all.late.Max()) * time.Microsecond
	return d
}

func (d delay) String() string {
	return fmt.Sprintf("%v / %v", d.median.Round(100*time.Microsecond), d.worst.Round(time.Millisecond))
}

// crowdsOf are those that come, one after the other. ATTACK=500 in the environment has so many of
// each kind come alone, FROM so many addresses, again and again for FOR (10s); KIND is a pattern of those that do, or
// "together" for all of them at once.
func crowdsOf(t *testing.T, node *streamer) (crowds []crowd, alone bool) {
	t.Helper()
	c := crowd{Addr: node.addr, Secure: node.secure, PerKind: 10}
	many := os.Getenv("ATTACK")
	if many == "" {
		return []crowd{c}, false
	}
	var err error
	if c.PerKind, err = strconv.Atoi(many); err != nil {
		t.Fatalf("ATTACK: %v", err)
	}
	if c.For, err = time.ParseDuration(cmp.Or(os.Getenv("FOR"), "10s")); err != nil {
		t.Fatalf("FOR: %v", err)
	}
	if c.From, err = strconv.Atoi(cmp.Or(os.Getenv("FROM"), "0")); err != nil {
		t.Fatalf("FROM: %v", err)
	}
	wanted := os.Getenv("KIND")
	if wanted == "together" {
		return []crowd{c}, false
	}
	for _, who := range strangers() {
		if ok, err := regexp.MatchString(wanted, who.kind); err != nil {
			t.Fatalf("KIND: %v", err)
		} else if ok {
			c.Kind = "^" + regexp.QuoteMeta(who.kind) + "$"
			crowds = append(crowds, c)
		}
	}
	return crowds, true
}

// attack has the crowd come, and waits until it has gone.
func (n *streamer) attack(c crowd) (what fates, came newcomers, most int64) {
	n.t.Helper()
	order, err := json.Marshal(c)
	if err != nil {
		n.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	priority := "0"
	if c.For > 0 {
		priority = "19" // what others feel is to be the node's doing
	}
	coming, enough := context.WithCancel(n.t.Context())
	var come sync.WaitGroup
	come.Go(func() {
		var err error
		if came, err = n.welcomes(coming, sign(secret, "newcomer", time.Hour)); err != nil {
			n.t.Errorf("newcomers: %v", err)
		}
	})
	defer come.Wait()
	defer enough()
	p := launch(n.t, "env", crowdVariable+"="+string(order), "nice", "-n", priority, self)
	for p.running() {
		if status, _ := get(n.t, n.admin, "/healthz"); status != 200 {
			n.t.Fatalf("/healthz is %d", status)
		}
		most = max(most, n.resident())
		select {
		case <-p.exited:
		case <-time.After(50 * time.Millisecond):
		}
	}
	if err := json.Unmarshal([]byte(p.stdout.String()), &what); err != nil {
		n.t.Fatalf("a crowd ends with %q, %q: %v", p.stdout.String(), p.stderr.String(), err)
	}
	enough()
	come.Wait()
	return what, came, most
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// A usage is what a node has used.
type usage struct {
	cpu      time.Duration
	resident int64
	files    int
	routines float64
	logged   int
}

func (n *streamer) usage() usage {
	n.t.Helper()
	return usage{n.cpu(), n.resident(), n.descriptors(), metric(n.t, n.admin, "go_goroutines"), strings.Count(n.stderr.String(), "\n")}
}

// Strangers come in crowds, break off, flood and send what is meant to break the node. Those who
// behave lose nothing by it, and are not sent away; the node stays healthy, keeps no memory to speak
// of, says little in its log, and ends everyone whom a bound is for.
func TestOthersAreServedUnderAttack(t *testing.T) {
	for _, tt := range []struct {
		engine string
		secure bool
		always bool
	}{{"epoll", true, true}, {"goroutine", false, true}, {"epoll", false, false}, {"goroutine", true, false}} {
		if !tt.always && os.Getenv("ATTACK") == "" {
			continue
		}
		t.Run(fmt.Sprintf("%s, TLS %v", tt.engine, tt.secure), func(t *testing.T) {
			keyFile := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(keyFile, secret, 0o600); err != nil {
				t.Fatal(err)
			}
			// What depends on how fast this machine is has room; what strangers wait for is short.
			args := []string{
				"--engine", tt.engine, "--auth", "jwt", "--jwt-key-file", keyFile, "--jwt-audience", "here", "--auth-timeout", "5s", "--header-timeout", "5s",
				"--slow-timeout", "30s", "--pending-bytes", "64MiB", "--max-connections-per-token", "20",
				"--page-requests-per-second", "100",
			}
			if tt.secure {
				args = append(args, newCertificate(t, "node", time.Now().Add(time.Hour)).options()...)
			}
			nats := startNATS(t)
			feed := startFeed(t, nats, "--symbols", strings.Join(few, ","), "--rate", "200")
			node := startStreamer(t, nats, args...)
			node.secure = tt.secure
			var honest []*subscriber
			for i := range 20 {
				node.token = sign(secret, fmt.Sprint("honest-", i), time.Hour)
				s := node.dial([]codec.Encoding{codec.MsgPack, codec.JSON}[i%2])
				await(t, "the symbols", func() bool {
					ack, ok := s.ask(codec.Request{Op: codec.OpSubscribe, Channels: market.AllChannels(), Symbols: few}).(codec.Ack)
					return ok && len(ack.Rejected) == 0
				})
				honest = append(honest, s)
			}
			flow := func() { // to all of them at the same time
				var since []map[*book]int
				for _, s := range honest {
					since = append(since, s.mark())
				}
				for i, s := range honest {
					s.awaitMore("a tick of each stream", since[i])
				}
			}
			flow()
			refused, failures := metric(t, node.admin, "tickcast_upgrades_refused_total"), metric(t, node.admin, "tickcast_auth_failures_total")
			crowds, alone := crowdsOf(t, node)
			table := new(strings.Builder)
			columns := tabwriter.NewWriter(table, 0, 0, 2, ' ', 0)
			fmt.Fprintln(columns, "kind\tbefore, late by (median / worst)\tunder attack\tafterwards\tlongest pause\tnode's CPU\tMiB before, most, after\tlines logged\tnewcomers in (median / worst)\tended with: how many, after how long at the most")
			for _, c := range crowds {
				delayOf(honest)
				flow()
				before, was := delayOf(honest), node.usage()
				what, came, most := node.attack(c)
				under, now := delayOf(honest), node.usage()
				await(t, "the strangers to be gone", func() bool {
					return metric(t, node.admin, "tickcast_connections") == float64(len(honest)) && metric(t, node.admin, "tickcast_http_connections") == 0
				})
				await(t, "the descriptors to be given back", func() bool { return node.descriptors() <= was.files })
				flow()
				name, after := strings.Trim(c.Kind, "^$"), delayOf(honest)
				row := fmt.Sprintf("%s\t%v\t%v\t%v\t%v\t%v\t%d, %d, %d\t%d\t%v\t%s\n", name, before, under, after, under.pause.Round(time.Millisecond),
					(now.cpu - was.cpu).Round(10*time.Millisecond), was.resident>>20, most>>20, node.resident()>>20, now.logged-was.logged, came, what)
				_, _ = columns.Write([]byte(row))
				if alone {
					t.Log(row) // the table is long in coming
				}
				if bound := int64(1 << 30); most > bound { // with the race detector's share
					t.Errorf("%d MiB are resident", most>>20)
				}
				if lines := now.logged - was.logged; lines > 100 {
					t.Errorf("%d lines in the log", lines)
				}
				for _, who := range strangers() {
					if f := what[who.kind][leftAlone]; !who.stays && f.Count > 0 {
						t.Errorf("%s: %d were not ended in %v", who.kind, f.Count, f.Worst)
					}
				}
			}
			_ = columns.Flush()
			t.Logf("\n%s", table)

			for name, before := range map[string]float64{"tickcast_upgrades_refused_total": refused, "tickcast_auth_failures_total": failures} {
				if now := metric(t, node.admin, name); !alone && now == before {
					t.Errorf("%s is still %v: that was no attack", name, now)
				}
			}
			feed.stop()
			truth := truthOf(t, nats)
			for _, s := range honest {
				s.reaches(truth)
				if gaps := s.gaps(); len(gaps) > 0 {
					t.Errorf("%d gaps, first %+v", len(gaps), gaps[0])
				}
				s.mu.Lock()
				if s.closed {
					t.Error("one who behaved was sent away")
				}
				s.mu.Unlock()
			}
			node.stop()
		})
	}
}

// String is one line, the kinds and their ends in order.
func (f fates) String() string {
	var ends []string
	sum := make(map[string]fate)
	for _, of := range f {
		for end, x := range of {
			sum[end] = fate{sum[end].Count + x.Count, max(sum[end].Worst, x.Worst)}
		}
	}
	for _, end := range slices.Sorted(maps.Keys(sum)) {
		ends = append(ends, fmt.Sprintf("%s: %d, %v", end, sum[end].Count, sum[end].Worst.Round(10*time.Millisecond)))
	}
	return strings.Join(ends, "; ")
}

// cpu is the processor time that the process has used.
func (p *process) cpu() time.Duration {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, behind, _ := strings.Cut(string(text), ") ") // the name may hold spaces
	fields, ticks := strings.Fields(behind), time.Duration(0)
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			p.t.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
}

// descriptors counts what the process has open.
func (p *process) descriptors() int {
	p.t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(open)
}

// resident is the process's memory in bytes.
func (p *process) resident() int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
