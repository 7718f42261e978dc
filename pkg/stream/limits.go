package stream

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// seats count connections by where they come from and by whose token they are.
type seats struct {
	perAddress, perHolder int  // the most of each; 0 = any number
	needed                bool // somebody has a bound

	mu        sync.Mutex
	byAddress map[netip.Prefix]int
	byHolder  map[string]int
}

// A seat is one connection's place in the counts. A nil seat counts nowhere.
type seat struct {
	in      *seats
	address netip.Prefix
	holder  string // empty without a token
	left    bool
}

func newSeats(cfg *Config) *seats {
	return &seats{
		perAddress: cfg.PerAddress, perHolder: cfg.PerToken, needed: cfg.PerAddress > 0 || cfg.Auth != nil,
		byAddress: make(map[netip.Prefix]int), byHolder: make(map[string]int),
	}
}

// take counts a connection in, and reports false if its address has as many as it may.
func (c *seats) take(address netip.Prefix) (*seat, bool) {
	if !c.needed {
		return nil, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.perAddress > 0 && c.byAddress[address] >= c.perAddress {
		return nil, false
	}
	c.byAddress[address]++
	return &seat{in: c, address: address}, true
}

// give says whose token the connection has from now on. It reports false, and changes nothing,
// if the holder has as many connections as he may.
func (s *seat) give(holder string, most int) bool {
	c := s.in
	if c.perHolder > 0 {
		most = min(most, c.perHolder)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	others := c.byHolder[holder]
	if s.holder == holder {
		others--
	}
	if s.left || others >= most {
		return false
	}
	if s.holder != "" {
		discount(c.byHolder, s.holder)
	}
	s.holder = holder
	c.byHolder[holder]++
	return true
}

// leave counts the connection out.
func (s *seat) leave() {
	if s == nil {
		return
	}
	c := s.in
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.left {
		return
	}
	s.left = true
	discount(c.byAddress, s.address)
	if s.holder != "" {
		discount(c.byHolder, s.holder)
	}
}

func discount[K comparable](counts map[K]int, k K) {
	if counts[k]--; counts[k] <= 0 {
		delete(counts, k)
	}
}

// clientAddress is where the request comes from: the peer, or what a proxy that is trusted says
// of it, in a PROXY header and then in X-Forwarded-For. Of that list only the part that trusted
// proxies wrote counts, which is read from its end.
func clientAddress(r *http.Request, trusted []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // a listener without addresses
	}
	at := peer.Addr().Unmap()
	if client, ok := r.Context().Value(clientKey{}).(func() netip.Addr); ok && client().IsValid() {
		at = client()
	}
	hops := tokens(r.Header, "X-Forwarded-For")
	for i := len(hops) - 1; i >= 0 && Trusts(trusted, at); i-- {
		hop, err := parseHop(hops[i])
		if err != nil {
			break
		}
		at = hop
	}
	return at
}

// parseHop reads an address as proxies write it: with a port or brackets, or without.
func parseHop(s string) (netip.Addr, error) {
	if p, err := netip.ParseAddrPort(s); err == nil {
		return p.Addr().Unmap().WithZone(""), nil
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap().WithZone(""), err
}

// clientKey is under what a request's context has the client of a PROXY header.
type clientKey struct{}

// withClient lets clientAddress ask client, which may not know, once the request was read.
func withClient(ctx context.Context, client func() netip.Addr) context.Context {
	return context.WithValue(ctx, clientKey{}, client)
}

// Trusts says whether the address, with a zone or without, is in one of the networks.
func Trusts(prefixes []netip.Prefix, a netip.Addr) bool {
	a = a.WithZone("") // a prefix holds no address with one
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// network is what counts as one address: under IPv6 a subscriber has a whole /64.
func network(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.WithZone("").Prefix(bits) // fails for no address, which then counts as one
	return p
}

// handshakeWaitMax is how long a handshake may wait for its turn.
const handshakeWaitMax = 2 * time.Second

// awaitTurn spreads handshakes by the limiter: a storm of them waits, and what would wait too
// long is refused. It reports whether the turn has come.
func awaitTurn(ctx context.Context, l *rate.Limiter) bool {
	if l.Allow() {
		return true
	}
	ctx, end := context.WithTimeout(ctx, handshakeWaitMax)
	defer end()
	return l.Wait(ctx) == nil // takes nothing where the time would not do
}

// A pace allows so many things a second, and some more at once. (A rate.Limiter would take ten
// times the memory, in every session.)
type pace int64 // when all the allowance is back

func (p *pace) take(now int64, perSecond, atOnce int) bool {
	every := int64(time.Second) / int64(perSecond)
	back := max(int64(*p), now)
	if back-now > every*int64(atOnce-1) {
		return false
	}
	*p = pace(back + every)
	return true
}

const (
	// requestsAtOnce is how many seconds' worth of requests may come at once; who has as many
	// refused on top is closed.
	requestsAtOnce = 5
	retryFlood     = 5 * time.Second
)

// mayBatch says whether the token's rate lets a batch go now. A goodbye waits for nothing.
func (s *session) mayBatch() bool {
	r := s.rights
	if r == nil || r.batchEvery == 0 || s.sh.now >= r.batchAt || s.ending() {
		return true
	}
	s.sh.timers.sooner(s, r.batchAt)
	return false
}

func (s *session) sentBatch() {
	if r := s.rights; r != nil {
		r.batchAt = s.sh.now + r.batchEvery
	}
}

// resumeBatches has what waited for its time flushed.
func (s *session) resumeBatches() {
	if r := s.rights; r != nil && r.batchEvery != 0 && !s.queue.Empty() && !s.busy {
		s.mark()
	}
}
