package fleet

import "github.com/tickcast/tickcast/bench/internal/wire"

// A Member is one subscriber: what it wants, and how well it reads.
type Member struct {
	Symbols []string
	Pace    Pace
}

// A Dialect is how subscribers talk to one kind of server.
type Dialect interface {
	// Subprotocol is offered in a member's upgrade request; "" offers none.
	Subprotocol(number int) string
	// Subscribe returns the message that asks for m's streams. It is called for every
	// member that connects, from several goroutines.
	Subscribe(number int, m *Member) (op byte, payload []byte, err error)
	// Message counts one message of a member and returns the time in its first event that
	// has one, in Unix ns, or 0. It is called from one goroutine.
	Message(number int, t *wire.Tally, payload []byte) (oldest int64)
	// Closed says that the member's connection is over: it may come again.
	Closed(number int)
}

// Pace is how well a member reads once it is subscribed.
type Pace uint8

// The paces.
const (
	Healthy   Pace = iota
	Paused         // reads nothing for 5 s out of every 10
	Throttled      // reads at most Config.ReadRate
	Stalled        // never reads again
)
