package stream

import (
	linked "container/list"
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/tickcast/tickcast/pkg/eventloop"
)

// A lobby holds the connections that net/http has: those whose handshake is under way, however
// slowly, and those of the pages. Each costs a goroutine and buffers, so their number is bounded.
// Upgrades that are taken before net/http never wait, and count as sessions from the start.
//
// Where it is full, who has waited longest makes room, so that a crowd that keeps its places,
// silent or asking now and then, keeps nobody out. Waiting are those who have yet to send a
// request, the next one too, and those who have been refused.
type lobby struct {
	most, perAddress int // perAddress 0 = any number

	mu        sync.Mutex
	in        map[net.Conn]*place
	byAddress map[netip.Prefix]int
	waiting   linked.List // of net.Conn, the longest first
}

// A place is a connection's in the lobby.
type place struct {
	address netip.Prefix
	since   int64           // node clock, of the wait
	waits   *linked.Element // nil while a request is answered
}

// placeKept is for how long nobody has to make room: a handshake over a slow line takes as long.
const placeKept = time.Second

func newLobby(cfg *Config) *lobby {
	return &lobby{
		most: cfg.MaxHTTPConnections, perAddress: cfg.PerAddress,
		in: make(map[net.Conn]*place), byAddress: make(map[netip.Prefix]int),
	}
}

// Attach has the server, of the node's public paths, tell the node of its connections: those that
// are too many are closed before anything is read from them, and proxies that Listener.FromProxy
// knows are asked for whom they speak. What its handler answers, whoever's page it is, keeps to
// the pace of pages from then on.
func (n *Node) Attach(s *http.Server) {
	s.Handler = n.paced(s.Handler)
	s.DisableGeneralOptionsHandler = true // its answers would have none
	s.ConnState = n.connState
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		ctx = context.WithValue(ctx, refusedKey{}, func() { n.lobby.wait(c, n.clock.now()) })
		return withClient(ctx, func() netip.Addr { client, _ := eventloop.Client(c); return client.Addr() })
	}
}

// refusedKey is under what a request's context has a function that says that it was refused.
type refusedKey struct{}

func (n *Node) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		peer, _ := netip.ParseAddrPort(c.RemoteAddr().String())
		address := peer.Addr().Unmap()
		entered, displaced := n.lobby.enter(c, network(address), Trusts(n.cfg.TrustedProxies, address), n.clock.now())
		if !entered {
			_ = c.Close()
		}
		if displaced || !entered {
			n.countRefused(refusedUnread)
		}
	case http.StateActive:
		n.lobby.serve(c)
	case http.StateIdle:
		n.lobby.wait(c, n.clock.now())
	case http.StateHijacked, http.StateClosed:
		n.lobby.leave(c)
	}
}

// enter says whether there is room, and whether another had to go for it. Proxies that are
// trusted speak for many, and only count in the total.
func (l *lobby) enter(c net.Conn, address netip.Prefix, proxy bool, now int64) (entered, displaced bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !proxy && l.perAddress > 0 && l.byAddress[address] >= l.perAddress {
		return false, false
	}
	if len(l.in) >= l.most {
		if displaced = l.displace(now); !displaced {
			return false, false
		}
	}
	l.in[c] = &place{address: address, since: now, waits: l.waiting.PushBack(c)}
	l.byAddress[address]++
	return true, displaced
}

// displace closes the socket of who has waited longest, under the lock: nobody can be about to
// take over a connection that waits. Closing TLS could have to wait for the peer.
func (l *lobby) displace(now int64) bool {
	longest := l.waiting.Front()
	if longest == nil {
		return false
	}
	c := longest.Value.(net.Conn)
	if now-l.in[c].since < int64(placeKept) {
		return false
	}
	l.remove(c)
	if socket := eventloop.Socket(c); socket != nil {
		_ = socket.Close()
	} else {
		_ = c.Close()
	}
	return true
}

// serve says that the connection has sent a request.
func (l *lobby) serve(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.in[c]; p != nil && p.waits != nil {
		l.waiting.Remove(p.waits)
		p.waits = nil
	}
}

// wait says that the connection has nothing more to come, or not soon.
func (l *lobby) wait(c net.Conn, now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.in[c]; p != nil && p.waits == nil {
		p.since, p.waits = now, l.waiting.PushBack(c)
	}
}

func (l *lobby) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.in)
}

func (l *lobby) leave(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(c)
}

func (l *lobby) remove(c net.Conn) {
	p := l.in[c]
	if p == nil {
		return
	}
	if p.waits != nil {
		l.waiting.Remove(p.waits)
	}
	delete(l.in, c)
	discount(l.byAddress, p.address)
}
