package eventloop

import (
	"errors"
	"fmt"
	"time"
)

// A Handler gives the bytes their meaning. It is called only by the goroutine inside Run,
// must not block, and may call any method of any Conn of the same loop.
type Handler interface {
	// Open tells that c was adopted. It may write.
	Open(c *Conn)
	// Message gives one whole message: unmasked, inflated, and valid UTF-8 if it is text.
	// payload is the loop's again on return.
	Message(c *Conn, text bool, payload []byte)
	// Drained tells that the kernel has taken everything that Write left waiting.
	Drained(c *Conn)
	// Ending tells that the peer has asked for the end, or done wrong: nothing more is read,
	// and what is written now still goes out before the close frame.
	Ending(c *Conn)
	// Closed tells, exactly once for every Open, that c has ended or is about to: nothing
	// that is written from now on is sent. The loop finishes the closing handshake alone
	// and closes the descriptor. code is the peer's close code (1005 if it gave none), the
	// one given to Close, the one sent for a peer's fault, or 1006 where the connection
	// broke; err is why, nil after an orderly close.
	Closed(c *Conn, code int, err error)
	// Turn is called once a turn, after what was read and adopted. now is on the scale of
	// Now. It returns when it wants to be called again at the latest; 0 is not before
	// something happens.
	Turn(now int64) (wake int64)
}

// Config bounds what a loop spends on one connection. Its zero value works.
type Config struct {
	// MaxMessageBytes bounds a message from a peer, as sent and as inflated; a larger one
	// is refused with 1009. 0 means 64 KiB.
	MaxMessageBytes int
	// ReadBudget is how many bytes are read from one connection in one turn, which bounds
	// what a flooding peer takes from the others. 0 means 32 KiB.
	ReadBudget int
	// SendBuffer is SO_SNDBUF, which the kernel doubles. 0 leaves it to the kernel, which
	// may hold megabytes for a peer that does not read.
	SendBuffer int
	// NotSentLowat is TCP_NOTSENT_LOWAT: how many bytes the kernel takes beyond those
	// under way. 0 leaves it to the kernel.
	NotSentLowat int
	// Linger bounds how long a connection that is being closed may take to read what
	// waits and to close its side. 0 means 5s.
	Linger time.Duration
}

// Validate reports every problem.
func (c Config) Validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int
	}{
		{"MaxMessageBytes", c.MaxMessageBytes}, {"ReadBudget", c.ReadBudget}, {"SendBuffer", c.SendBuffer},
		{"NotSentLowat", c.NotSentLowat}, {"Linger", int(c.Linger)},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("eventloop: %s is negative: %d", f.name, f.value))
		}
	}
	return errors.Join(errs...)
}
