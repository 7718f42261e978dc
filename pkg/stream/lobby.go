package stream

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// A lobby holds the connections that net/http has: those whose handshake is under way, however
// slowly, and those of the pages. Each costs a goroutine and buffers, so their number is bounded.
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

// ConnState is for http.Server.ConnState of the server that has the node's public paths. It
// closes connections that are too many before anything is read from them.
func (n *Node) ConnState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		peer, _ := netip.ParseAddrPort(c.RemoteAddr().String())
		address := peer.Addr().Unmap()
		if !n.lobby.enter(c, network(address), trusts(n.cfg.TrustedProxies, address)) {
			n.refused.Add(1)
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

func (l *lobby) leave(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if address, ok := l.in[c]; ok {
		delete(l.in, c)
		discount(l.byAddress, address)
	}
}
