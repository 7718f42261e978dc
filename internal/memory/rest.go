package memory

// A rest is the time since the last collection. When a crowd has gone, so much is left of the heap
// that it was given room for that a quiet process does not collect for minutes, and until then
// nobody knows that the crowd's memory is free. And what is free goes back to the system slowly.
type rest struct {
	cycles uint64
	looks  int // since then
	bears  int // how many are no reason to collect
	idle   int // looks at which much was free
}

const (
	restMin = 5   // looks
	restMax = 120 // by itself the runtime waits for no longer
	idleMax = 5   // looks
	// surplusMin is worth giving back, beyond what the next garbage will need.
	surplusMin = 32 << 20
)

func newRest(h heap) rest { return rest{cycles: h.cycles, bears: restMin} }

// over says that it is time to collect, and to give back what is free.
func (r *rest) over(h heap) bool {
	r.looks++
	if h.cycles != r.cycles {
		r.cycles, r.looks = h.cycles, 0
	}
	r.idle++
	if h.free < 2*(h.goal-min(h.live, h.goal))+surplusMin {
		r.idle = 0
	}
	return r.looks >= r.bears || r.idle >= idleMax
}

// began takes note of a collection, which had found so much alive before. Where it was of little
// use the next one has time.
func (r *rest) began(before uint64, h heap) {
	if r.bears = min(2*r.bears, restMax); h.live < before-before/4 {
		r.bears = restMin
	}
	r.cycles, r.looks, r.idle = h.cycles, 0, 0
}
