package e2e_test

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// startCluster runs three servers that keep what they remember threefold.
func startCluster(t *testing.T) (servers []*natsServer) {
	t.Helper()
	var routes []string
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, "nats://"+l.Addr().String())
		_ = l.Close() // a server takes the port over
	}
	for i, route := range routes {
		servers = append(servers, &natsServer{t: t, port: "-1", more: []string{
			"--name", serverName(i), "--cluster_name", "tickcast", "--cluster", route, "--routes", strings.Join(routes, ","),
		}})
		servers[i].start()
	}
	return servers
}

func serverName(i int) string { return fmt.Sprint("server-", i) }

// leader waits until the trades' stream has so many followers that are up to date, and
// returns which server leads it.
func leader(t *testing.T, of *natsServer, followers int) (lead int) {
	t.Helper()
	nc, err := nats.Connect(of.url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	await(t, "a leader and its followers", func() bool {
		m, err := nc.Request("$JS.API.STREAM.INFO.TICKCAST_TRADES", nil, time.Second)
		var info struct {
			Cluster struct {
				Leader   string
				Replicas []struct{ Current bool }
			}
		}
		if err != nil || json.Unmarshal(m.Data, &info) != nil {
			return false
		}
		current := 0
		for _, r := range info.Cluster.Replicas {
			if r.Current {
				current++
			}
		}
		if current < followers {
			return false
		}
		_, err = fmt.Sscanf(info.Cluster.Leader, "server-%d", &lead)
		return err == nil
	})
	return lead
}

func TestANodeThatLosesItsServerGoesToAnother(t *testing.T) {
	servers := startCluster(t)
	feed := startFewFeed(t, servers[0], "--nats-replicas", "3")
	lead := leader(t, servers[0], 2)
	home := 1
	if lead == home {
		home = 2
	}
	node := startStreamer(t, servers[home], "--nats-replicas", "3")
	subs := followFew(node)
	for _, s := range subs {
		s.awaitEach("ticks on every stream", fewStreams, func(b *book) bool { return len(b.ticks) > 0 })
	}

	servers[home].signal(syscall.SIGKILL)
	servers[home].wait()
	await(t, "the node to be at another server", func() bool { return metric(t, node.admin, "tickcast_upstream_reconnects_total") == 1 })
	for _, s := range subs {
		s.awaitMore("ticks by way of another server", s.mark())
	}
	for _, s := range subs {
		if gaps := s.tradeGaps(); len(gaps) > 0 {
			t.Errorf("gaps though all of it is stored: %+v", gaps)
		}
	}
	servers[home].start()
	lead = leader(t, servers[0], 2)

	// The store loses its leader, and what is published until there is another.
	servers[lead].signal(syscall.SIGKILL)
	servers[lead].wait()
	for _, s := range subs {
		s.awaitMore("ticks without the leader", s.mark())
	}
	other := (lead + 1) % 3
	leader(t, servers[other], 1)
	for _, s := range subs {
		s.awaitMore("ticks with the next leader", s.mark())
	}
	feed.stop()
	// What was published while nobody led is not stored, but has come.
	truth := truthOf(t, servers[other])
	for _, s := range subs {
		s.await("every book to reach what is stored", func() bool {
			for stream, ev := range truth {
				if _, seq := streamOf(ev); s.books[stream].last < seq {
					return false
				}
			}
			return true
		})
	}
}
