//go:build proxy

package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// A site is what an operator runs: NATS servers, nodes, a proxy of either kind before them,
// and whoever follows by way of those.
type site struct {
	t       *testing.T
	began   time.Time
	servers []*natsServer
	nats    *natsServer // all of them, as an address
	nodes   []*streamer
	proxies [2]string
	symbols []string

	ledger    ledger
	followers []*follower
	gates     [2]gate       // of the stallers by either proxy
	hurry     chan struct{} // closed when nobody is to be slow any more
}

func startSite(t *testing.T) *site {
	s := &site{t: t, began: time.Now(), servers: startCluster(t), hurry: make(chan struct{})}
	s.ledger.trades = make(map[string]map[int64]market.Trade)
	var urls []string
	for _, n := range s.servers {
		urls = append(urls, n.url)
	}
	s.nats = &natsServer{t: t, url: strings.Join(urls, ",")}
	return s
}

// node starts a node that cuts slow subscribers after the given time.
func (s *site) node(addr, admin, slow string) *streamer {
	s.t.Helper()
	n := &streamer{process: start(s.t, "streamer", "--nats", s.nats.url, "--nats-replicas", "3", "--addr", addr, "--admin-addr", admin,
		"--drain", "1s", "--slow-timeout", slow, "--pending-bytes", "32KiB", "--trusted-proxies", "127.0.0.1")}
	pairs := n.ready()
	n.addr, n.admin = pairs["addr"], pairs["admin_addr"]
	return n
}

func (s *site) startNodes(n int) {
	s.t.Helper()
	for range n {
		s.nodes = append(s.nodes, s.node(port(s.t), port(s.t), "4s"))
	}
	for _, n := range s.nodes {
		n.awaitSymbols(len(s.symbols))
	}
	s.proxies = [2]string{startHAProxy(s.t, s.nodes), startNginx(s.t, s.nodes)}
}

// replace starts a node where one has ended. It is patient: from here on those who are slow
// because this machine is get their time.
func (s *site) replace(i int) {
	s.t.Helper()
	old := s.nodes[i]
	s.nodes[i] = s.node(old.addr, old.admin, patience.String())
	n := s.nodes[i]
	await(s.t, "the node to be ready", func() bool { return n.readyz() == 200 })
}

// sum adds a metric up over the nodes.
func (s *site) sum(name string) (total float64) {
	for _, n := range s.nodes {
		total += metric(s.t, n.admin, name)
	}
	return total
}

// follow lets followers of every policy and temper in by both proxies, until the test ends.
func (s *site) follow() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	s.t.Cleanup(func() {
		stop()
		s.gates[0].open()
		s.gates[1].open()
		running.Wait()
	})
	interval, still := int64(200), new(gate)
	for i, addr := range s.proxies {
		for j, policy := range []string{"drop_oldest", "drop_newest", "aggregate", "disconnect", "conflate"} {
			for k, temper := range []string{"held", "steady", "throttled", "stalling", "library"} {
				if stalls := temper == "stalling"; stalls && j > 2 || !stalls && (j+k)%2 != 0 {
					continue // enough of a kind
				}
				f := &follower{
					t: s.t, name: fmt.Sprintf("%s, policy %s, by %s", temper, policy, [2]string{"HAProxy", "nginx"}[i]),
					ledger: &s.ledger, url: "ws://" + addr + "/v1/stream", enc: codec.Encoding((i + k) % 2), gate: still, hurry: s.hurry,
					accounts: make(map[market.Stream]*account), lost: make(map[codec.Reason]int64),
					want: codec.Request{Op: codec.OpSubscribe, Channels: channelsOf(policy), Policy: policy, Symbols: s.symbols[j : j+10]},
				}
				if (i+j)%2 == 0 {
					f.want.Symbols = []string{market.Wildcard}
				}
				run := f.run
				switch temper {
				case "held":
					f.want.IntervalMS = &interval
				case "throttled":
					f.narrow, f.pace = true, time.Second/20_000 // half of what comes
				case "stalling":
					f.narrow, f.enc, f.gate = true, codec.JSON, &s.gates[i]
					f.want.Symbols = []string{market.Wildcard}
				case "library":
					run = f.runLibrary
				}
				s.followers = append(s.followers, f)
				running.Go(func() { run(ctx) })
			}
		}
	}
	s.t.Logf("%d followers", len(s.followers))
}

func channelsOf(policy string) []market.Channel {
	switch policy {
	case "aggregate":
		return []market.Channel{market.ChannelTrade}
	case "conflate":
		return []market.Channel{market.ChannelQuote, market.ChannelBar}
	}
	return market.AllChannels()
}

// flows waits until everybody who wants to keep up has had more.
func (s *site) flows(what string) {
	s.t.Helper()
	marks := make(map[*follower]int)
	for _, f := range s.followers {
		marks[f] = f.events()
	}
	for _, f := range s.followers {
		if !f.narrow {
			await(s.t, "events for "+f.name+" "+what, func() bool { return f.events() >= marks[f]+30 })
		}
	}
	s.t.Logf("events for everybody %s, %v after the start", what, time.Since(s.began).Round(time.Second))
}

// Behind HAProxy and nginx, as they are recommended: whatever dies, restarts or reads too
// slowly, every follower can account for every trade, over all its connections.
func TestTheBooksBalanceBehindProxies(t *testing.T) {
	s := startSite(t)
	feed := startFeed(t, s.nats, "--nats-replicas", "3", "--symbols", "20", "--rate", "1000")
	leader(t, s.servers[0], 2)
	await(t, "symbols", func() bool { return metric(t, feed.admin, "tickcast_feed_symbols") == 20 })
	first := startStreamer(t, s.nats)
	first.awaitSymbols(20)
	s.symbols = first.symbols()
	first.stop()
	s.startNodes(3)
	s.follow()
	s.flows("in the beginning")

	s.gates[0].shut()
	await(t, "slow followers to lose something, and then their connection", func() bool {
		return s.sum("tickcast_events_dropped_total") > 0 && s.sum("tickcast_slow_consumers_cut_total") > 0
	})
	s.flows("beside slow ones")
	s.gates[0].open()
	s.flows("after a stall")

	s.nodes[0].signal(syscall.SIGKILL)
	s.nodes[0].wait()
	s.flows("without a node")
	s.replace(0)

	s.gates[1].shut()
	for i, n := range s.nodes {
		n.stop()
		s.replace(i)
		s.flows("after a node's restart")
	}
	s.gates[1].open()
	s.flows("after all nodes' restart")

	for i, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		server := s.servers[i]
		server.signal(end)
		server.wait()
		s.flows("without a NATS server")
		server.start()
		leader(t, server, 2)
		s.flows("with NATS complete")
	}

	feed.stop()
	close(s.hurry)
	late := startStreamer(t, s.nats)
	late.awaitSymbols(len(s.symbols))
	s.balances(late.snapshot(s.symbols))
}

// balances waits until everybody has come to the end of every stream, of which the truth is
// what is stored or more.
func (s *site) balances(truth map[market.Stream]codec.Event) {
	s.t.Helper()
	ends := make(map[market.Stream]int64)
	for stream, ev := range truth {
		_, ends[stream] = streamOf(ev)
	}
	behind := func() (all []string) {
		for _, f := range s.followers {
			f.mu.Lock()
			for stream, a := range f.accounts {
				ends[stream] = max(ends[stream], a.last) // stored or not
			}
			f.mu.Unlock()
		}
		for _, f := range s.followers {
			f.mu.Lock()
			symbols := len(f.want.Symbols)
			if f.want.Symbols[0] == market.Wildcard {
				symbols = len(s.symbols)
			}
			if n := symbols * len(f.want.Channels); len(f.accounts) != n {
				all = append(all, fmt.Sprintf("%s: %d streams, not %d", f.name, len(f.accounts), n))
			}
			for stream, a := range f.accounts {
				if a.last < ends[stream] {
					all = append(all, fmt.Sprintf("%s: %v at %d, not %d", f.name, stream, a.last, ends[stream]))
				}
			}
			f.mu.Unlock()
		}
		return all
	}
	defer func() {
		if all := behind(); len(all) > 0 {
			s.t.Logf("%d behind: %s", len(all), strings.Join(all[:min(20, len(all))], "; "))
		}
	}()
	for got, began := -1, time.Now(); len(behind()) > 0; time.Sleep(10 * time.Millisecond) { // between two looks
		n := 0
		for _, f := range s.followers {
			n += f.events()
		}
		if n > got {
			got, began = n, time.Now() // it goes on
		}
		if time.Since(began) > patience {
			s.t.Fatal("waited in vain for everybody to have all of it")
		}
	}

	links, cuts, lost := 0, 0, make(map[codec.Reason]int64)
	for _, f := range s.followers {
		f.mu.Lock()
		for r, n := range f.lost {
			lost[r] += n
		}
		links, cuts = links+f.links, cuts+f.cuts
		f.mu.Unlock()
	}
	compared, err := s.ledger.audit()
	if err != nil {
		s.t.Error(err)
	}
	s.t.Logf("%d followers over %d connections, %d of which were cut; %d summaries, %d audited; gaps over %v",
		len(s.followers), links, cuts, len(s.ledger.sums), compared, lost)
	if compared == 0 {
		s.t.Error("no summary was audited")
	}
}
