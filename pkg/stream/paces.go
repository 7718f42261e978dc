package stream

import (
	"maps"
	"net/netip"
	"sync"
	"time"
)

// pacesMax bounds the addresses that are told apart; those beyond share one pace.
const pacesMax = 10_000

// sweepEvery is how often addresses that have all their allowance back are forgotten.
const sweepEvery = time.Second

// paces hold each address to so many requests of pages a second.
type paces struct {
	perSecond int

	mu      sync.Mutex
	by      map[netip.Prefix]pace // of those who have asked lately
	sweepAt int64
}

func newPaces(perSecond int) *paces {
	return &paces{perSecond: perSecond, by: make(map[netip.Prefix]pace)}
}

func (p *paces) take(now int64, address netip.Prefix) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now >= p.sweepAt {
		maps.DeleteFunc(p.by, func(_ netip.Prefix, back pace) bool { return int64(back) <= now })
		p.sweepAt = now + int64(sweepEvery)
	}
	if _, known := p.by[address]; !known && len(p.by) >= pacesMax {
		address = netip.Prefix{}
	}
	at := p.by[address]
	ok := at.take(now, p.perSecond, requestsAtOnce*p.perSecond)
	p.by[address] = at
	return ok
}
