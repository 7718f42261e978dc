package memory

import (
	"slices"
	"testing"
)

// A quiet process finds out soon that a crowd has gone, and looks less and less often where none has.
func TestWhatACrowdLeftIsGivenBack(t *testing.T) {
	const mib = 1 << 20
	type look struct {
		h     heap
		after uint64 // is alive if it collects
	}
	quiet := func(live, after uint64) look {
		return look{heap{live: live * mib, goal: 2 * live * mib}, after * mib}
	}
	for _, tt := range []struct {
		name string
		at   func(i int, live uint64) look
		want []int // looks after which it collects
	}{
		{"nothing changes", func(_ int, live uint64) look { return quiet(live, live) }, []int{5, 15, 35, 75, 155}},
		{"a crowd goes after 40 s", func(i int, live uint64) look {
			if i < 40 {
				return quiet(200, 200)
			}
			return quiet(live, 20)
		}, []int{5, 15, 35, 75, 80, 90, 110, 150}},
		{"it collects by itself", func(i int, live uint64) look {
			l := quiet(live, live)
			l.h.cycles = uint64(i / 3)
			return l
		}, nil},
		{"much is free, and stays so", func(i int, live uint64) look {
			l := quiet(20, 20)
			l.h.cycles, l.h.free = uint64(i), 100*mib
			if i > 20 {
				l.h.free = 60 * mib // what the garbage needs
			}
			return l
		}, []int{5, 10, 15, 20}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRest(heap{})
			live := uint64(200)
			var got []int
			for i := 1; i <= 160; i++ {
				l := tt.at(i, live)
				if r.over(l.h) {
					got = append(got, i)
					before := l.h.live
					l.h.live = l.after
					r.began(before, l.h)
					live = l.after / mib
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("collects after %v looks, want %v", got, tt.want)
			}
		})
	}
}
