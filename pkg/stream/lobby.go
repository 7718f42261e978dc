package stream

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/tickcast/tickcast/pkg/eventloop"
)

// A lobby holds the connections that net/http has: those whose handshake is under way, however
// slowly, and those of the pages. Each costs a goroutine and buffers, so their number is bounded.
// Upgrades that are taken before net/http never wait, and count as sessions from the start.
type lobby struct {
	most, perAddress int // perAddress 0 = any number

	mu        sync.Mutex
	in        map[net.Conn]netip.Prefix
	byAddress map[netip.Prefix]int
}

func newLobby(cfg *Config) *lobby {
	return &lobby{
		most: cfg.MaxHTTPConnections, perAddress: cfg.PerAddress,
		in: make(map[net.Conn]netip.Prefix), byAddress: make(map[netip.Prefix]int),
	}
}

// Attach has the server, of the node's public paths, tell the node of its connections: those that
// are too many are closed before anything is read from them, and proxies that Listener.FromProxy
// knows are asked for whom they speak.
func (n *Node) Attach(s *http.Server) {
	s.ConnState = n.connState
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return withClient(ctx, func() netip.Addr { client, _ := eventloop.Client(c); return client.Addr() })
	}
}

func (n *Node) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		peer, _ := netip.ParseAddrPort(c.RemoteAddr().String())
		address := peer.Addr().Unmap()
		if !n.lobby.enter(c, network(address), Trusts(n.cfg.TrustedProxies, address)) {
			n.countRefused(refusedUnread)
			_ = c.Close()
		}
	case http.StateHijacked, http.StateClosed:
		n.lobby.leave(c)
	}
}

// enter reports false where there is no room. Proxies that are trusted speak for many, and only
// count in the total.
func (l *lobby) enter(c net.Conn, address netip.Prefix, proxy bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.in) >= l.most || !proxy && l.perAddress > 0 && l.byAddress[address] >= l.perAddress {
		return false
	}
	l.in[c] = address
	l.byAddress[address]++
	return true
}

func (l *lobby) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.in)
}

func (l *lobby) leave(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if address, ok := l.in[c]; ok {
		delete(l.in, c)
		discount(l.byAddress, address)
	}
}
