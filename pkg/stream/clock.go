package stream

import "time"

// A clock gives monotonic nanoseconds since the node began, so that no timer jumps when the
// wall clock does.
type clock struct{ start time.Time }

func newClock() clock { return clock{start: time.Now()} }

func (c clock) now() int64 { return int64(time.Since(c.start)) }

// until is the duration from now to the instant at, never negative.
func (c clock) until(at int64) time.Duration { return max(0, time.Duration(at-c.now())) }
