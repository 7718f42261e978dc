package eventloop

import "time"

var started = time.Now()

// Now returns the time that loops live by: Unix nanoseconds when the process began, carried
// on by the monotonic clock. It neither jumps nor goes back when the wall clock is set, and
// is the same for all loops.
func Now() int64 { return At(time.Now()) }

// At is Now as it was or will be at t, which needs a monotonic reading.
func At(t time.Time) int64 { return started.UnixNano() + int64(t.Sub(started)) }
