// Package eventloop reads and writes thousands of WebSocket connections from one goroutine.
// It hides epoll, partial reads and writes, frames, compression of what clients send, TLS
// records and the closing handshake; it knows nothing of what the messages mean.
//
// A [Loop] owns the connections given to it with Adopt, from the end of their HTTP upgrade,
// which happens elsewhere, until their descriptors are closed. Everything that belongs to a
// connection is touched only by the goroutine inside Run, and so is the [Handler]: there are
// no locks, timers or goroutines per connection, and an idle one keeps no buffer. Only Adopt,
// Wake and Stop may be called from other goroutines.
//
// One turn of a loop is
//
//	sleep until a descriptor is ready, Wake is called or a time has come
//	-> read the clock, once
//	-> for each ready descriptor: send what waited (Drained), read one share (Message, Ending)
//	-> open what was adopted (Open)
//	-> tell what has ended (Closed)
//	-> Turn
//	-> tell what Turn has ended (Closed)
//
// The loops are level-triggered. A peer that sends more than its share of a turn is simply
// reported again in the next one, after the others; a short read needs no second read to see
// that the socket is empty; and no forgotten event can leave a connection asleep for ever.
// Edge triggering would spare only the two calls of epoll_ctl around each backlog, which is
// the slow path.
//
// Times are nanoseconds on the scale of [Now]. Sizes are bytes. Loops exist on Linux only;
// the frame reader and writer build everywhere.
package eventloop
