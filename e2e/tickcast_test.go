package e2e_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// shell runs the shell program against a node.
func (n *streamer) shell(args ...string) *process {
	n.t.Helper()
	return start(n.t, "tickcast", append(args, "--url", "ws://"+n.addr+"/v1/stream")...)
}

// lines returns what a process has printed.
func (p *process) lines() []string { return slices.Collect(strings.Lines(p.stdout.String())) }

func TestTheShellPrintsWhatTheNodeSends(t *testing.T) {
	nats := startNATS(t)
	startFewFeed(t, nats)
	node := startStreamer(t, nats)
	node.awaitSymbols(len(few))

	t.Run("symbols", func(t *testing.T) {
		p := node.shell("symbols")
		if code := p.wait(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		for i, line := range p.lines() {
			if want := slices.Sorted(slices.Values(few))[i]; !strings.HasPrefix(line, want+" ") || !strings.HasSuffix(line, " trade quote bar\n") {
				t.Errorf("line %d is %q, want %s and its channels", i+1, line, want)
			}
		}
		if len(p.lines()) != len(few) {
			t.Errorf("%d lines, want %d", len(p.lines()), len(few))
		}
	})
	t.Run("sub as JSON", func(t *testing.T) {
		p := node.shell("sub", "BTC/USD", "BRK.B", "--json", "--count", "50", "--channels", "trade,bar")
		if code := p.wait(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		last := make(map[market.Stream]int64)
		for _, line := range p.lines() {
			events, err := codec.DecodeBatch(codec.JSON, []byte("["+line+"]"))
			if err != nil || len(events) != 1 {
				t.Fatalf("%q: %v", line, err)
			}
			ev := events[0]
			if snap, ok := ev.(codec.Snapshot); ok {
				if ev = snap.Event; ev == nil {
					continue
				}
			}
			s, seq := streamOf(ev)
			if prev := last[s]; s.Channel == market.ChannelQuote || prev > 0 && s.Channel == market.ChannelTrade && seq != prev+1 {
				t.Errorf("%v: %d comes after %d", s, seq, prev)
			}
			last[s] = seq
		}
		if len(p.lines()) != 50 {
			t.Errorf("%d lines, want 50", len(p.lines()))
		}
	})
	t.Run("a snapshot", func(t *testing.T) {
		p := node.shell("snapshot", "BTC/USD", "--channels", "trade")
		if code, out := p.wait(), p.stdout.String(); code != 0 || !strings.Contains(out, "BTC/USD     trade") || strings.Contains(out, "\x1b") {
			t.Errorf("exit code %d, %q", code, out)
		}
	})
	t.Run("an interrupt is answered by a summary", func(t *testing.T) {
		p := node.shell("sub", "*")
		await(t, "some lines", func() bool { return len(p.lines()) > 20 })
		p.signal(os.Interrupt)
		if code := p.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		for _, word := range []string{" trades, ", " quotes from ", " streams in "} {
			if !strings.Contains(p.stderr.String(), word) {
				t.Errorf("the summary lacks %q: %q", word, p.stderr.String())
			}
		}
	})
	t.Run("some symbols are unknown", func(t *testing.T) {
		p := node.shell("sub", "BTC/USD", "NOPE", "--count", "1")
		if code := p.wait(); code != 0 || !strings.Contains(p.stderr.String(), "NOPE (unknown symbol)") {
			t.Errorf("exit code %d, %q", code, p.stderr.String())
		}
	})
	t.Run("all symbols are unknown", func(t *testing.T) {
		for _, command := range []string{"sub", "snapshot"} {
			p := node.shell(command, "NOPE")
			if code, said := p.wait(), p.stderr.String(); code != 1 || !strings.Contains(said, "NOPE") || strings.Count(said, "\n") != 1 {
				t.Errorf("%s: exit code %d, %q", command, code, said)
			}
		}
	})
	t.Run("options from the environment", func(t *testing.T) {
		t.Setenv("TICKCAST_COUNT", "1")
		t.Setenv("TICKCAST_URL", "ws://"+node.addr)
		if p := start(t, "tickcast", "sub", "*"); p.wait() != 0 || len(p.lines()) != 1 {
			t.Errorf("%q, %q", p.stdout.String(), p.stderr.String())
		}
	})
}

func TestTheShellOutlivesItsNode(t *testing.T) {
	nats := startNATS(t)
	startFewFeed(t, nats)
	node := startStreamer(t, nats, "--drain", "1s", "--name", "first")
	node.awaitSymbols(len(few))
	p := node.shell("sub", "BTC/USD", "--json", "--channels", "trade")
	await(t, "some trades", func() bool { return len(p.lines()) > 10 })
	node.stop()
	await(t, "the goodbye", func() bool { return strings.Contains(p.stderr.String(), "disconnected: ") })

	second := start(t, "streamer", "--nats", nats.url, "--addr", node.addr, "--admin-addr", "127.0.0.1:0", "--name", "second")
	second.ready()
	await(t, "the next connection", func() bool { return strings.Contains(p.stderr.String(), "connected to second") })
	before := len(p.lines())
	await(t, "more trades", func() bool { return len(p.lines()) > before+10 })
	p.signal(os.Interrupt)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(p.stderr.String(), "connection lost ") {
		t.Errorf("the summary does not tell: %q", p.stderr.String())
	}
	var b book
	for i, line := range p.lines() {
		events, err := codec.DecodeBatch(codec.JSON, []byte("["+line+"]"))
		if err != nil || len(events) != 1 {
			t.Fatalf("%q: %v", line, err)
		}
		ev := events[0]
		if snap, ok := ev.(codec.Snapshot); ok {
			if ev = snap.Event; ev == nil && i == 0 {
				continue // announced, and not traded yet
			}
		}
		s := market.Stream{Channel: market.ChannelTrade, Symbol: "BTC/USD"}
		if gap, ok := ev.(codec.Gap); ok {
			err = b.take(s, gap.From, gap.To)
		} else {
			seq := ev.(market.Trade).Seq
			err = b.take(s, seq, seq)
		}
		if err != nil {
			t.Error(err)
		}
	}
}
