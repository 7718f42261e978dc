package stream

import (
	"context"
	"time"

	"github.com/tickcast/tickcast/pkg/market"
)

// Upstream is where a node's ticks come from. A message holds the encoded records of one
// stream, as codec.ParseChunk reads them; its subject names the stream.
type Upstream interface {
	// Run delivers until ctx ends. No two of its calls overlap. message brings one message,
	// whose body is the receiver's from then on, with its header, which mostly is nil; idle
	// follows the last one that waited; announced names a symbol that a feed publishes, and on
	// which channels; lost says that messages may have been missed.
	Run(ctx context.Context,
		message func(subject string, body []byte, header map[string][]string),
		idle func(),
		announced func(symbol string, channels []market.Channel),
		lost func(reason string)) error

	// Subject and ParseSubject translate between a stream and its subject.
	Subject(s market.Stream) string
	ParseSubject(subject string) (market.Stream, error)

	// Subscribe, Unsubscribe and their All forms say what Run delivers. They do not wait.
	Subscribe(s market.Stream) error
	Unsubscribe(s market.Stream)
	SubscribeAll(ch market.Channel) error
	UnsubscribeAll(ch market.Channel)

	// Last yields the newest stored message of each stream that has one. What was published
	// before the subscriptions made so far took effect is among it.
	Last(ctx context.Context, streams []market.Stream, yield func(s market.Stream, body []byte)) error

	// History yields the stored messages of s in the order of publishing, from the first that
	// was stored at or after since on, until yield returns false. absent says that nothing is
	// stored at all.
	History(ctx context.Context, s market.Stream, since time.Time, yield func(body []byte) bool) (absent bool, err error)

	// Lost counts reconnects, and messages that came faster than they were taken.
	Lost() (reconnects, dropped uint64)

	// Connected says whether ticks can come now, and whether they ever could.
	Connected() (now, ever bool)

	// Known says whether Run has announced the symbols that were known before it began. It
	// never becomes false again.
	Known() bool
}
