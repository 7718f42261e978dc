package stream

import (
	"net/netip"
	"testing"
	"time"
)

func TestPacesTellAddressesApart(t *testing.T) {
	p := newPaces(2)
	one, two := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/64")
	allowed := func(at time.Duration, address netip.Prefix) (n int) {
		for range 100 {
			if p.take(int64(at), address) {
				n++
			}
		}
		return n
	}
	for _, tt := range []struct {
		at      time.Duration
		address netip.Prefix
		want    int
	}{
		{time.Hour, one, 10}, // five seconds' worth at once
		{time.Hour, one, 0},
		{time.Hour, two, 10}, // another address has its own
		{time.Hour + 3*time.Second, one, 6},
		{2 * time.Hour, two, 10},
	} {
		if got := allowed(tt.at, tt.address); got != tt.want {
			t.Errorf("at %s, %s: %d, want %d", tt.at, tt.address, got, tt.want)
		}
	}
	if len(p.by) != 1 {
		t.Errorf("%d addresses are kept, want the one that has just asked", len(p.by))
	}
}

// However many addresses ask, memory is bounded, and who came before them is not their victim.
func TestPacesAreBounded(t *testing.T) {
	p := newPaces(1)
	at := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	now := int64(time.Hour)
	through := 0
	for i := range 2 * pacesMax {
		if p.take(now, at(i)) {
			through++
		}
	}
	if len(p.by) > pacesMax+1 || through != pacesMax+requestsAtOnce {
		t.Errorf("%d addresses are kept, %d requests allowed", len(p.by), through)
	}
	if !p.take(now, at(1)) {
		t.Error("who was known is refused")
	}
	if p.take(now+int64(time.Minute), at(0)); len(p.by) != 1 {
		t.Errorf("%d addresses are left", len(p.by))
	}
}
