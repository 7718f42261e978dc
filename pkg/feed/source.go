package feed

import (
	"context"

	"github.com/tickcast/tickcast/pkg/market"
)

// Source is where ticks come from.
type Source interface {
	// Run emits to sink, from one goroutine at a time, until it has no more or ctx ends;
	// both are no error.
	Run(ctx context.Context, sink Sink) error
	// Live says that the ticks happen now, whether or not anybody can take them. A source
	// that is not live is held back while the bus is away.
	Live() bool
}

// Sink takes what a Source emits. Its methods block while a source that is not live has to
// wait; when the source's ctx ends so does the wait, and the tick is not taken.
type Sink interface {
	// Announce makes instruments known, or adds channels to known ones. It must come
	// before an instrument's first tick, and is cheapest with many at once. Bars are
	// announced by the sink wherever there are trades.
	Announce(list ...Instrument)
	// Trade and Quote take one tick and set its Seq. The tick is not retained.
	Trade(t *market.Trade)
	Quote(q *market.Quote)
	// Missed says that ticks may be missing before those that follow, of every instrument, as
	// when the connection to a venue was lost: subscribers get a gap in each stream of trades.
	Missed()
	// Rewind says that the ticks that follow are from an earlier time than the last ones,
	// as when a recording begins again: bars that are forming end here.
	Rewind()
}

// Instrument is a symbol with the channels that its source emits.
type Instrument struct {
	Symbol   string
	Channels []market.Channel
}

// Bus is what a Feed needs of the transport. All methods are called from several goroutines.
type Bus interface {
	// Publish hands over one message of s. The body is not retained. An error means that
	// it was not published.
	Publish(s market.Stream, body []byte) error
	// PublishWith is Publish with a header beside the body.
	PublishWith(s market.Stream, body []byte, header map[string][]string) error
	// Announce makes a symbol known to subscribers; once more is no harm.
	Announce(symbol string, channels []market.Channel) error
	// Flush returns nil once the server has taken everything published since the last time
	// that it did. A connection that broke in between may have swallowed some of it, which
	// is an error even if there is a new one by now.
	Flush(ctx context.Context) error
	// Last yields the newest message of each of the streams that has one.
	Last(ctx context.Context, streams []market.Stream, yield func(s market.Stream, body []byte)) error
	// OnReconnect names a function to be called, from any goroutine, each time the
	// connection is back.
	OnReconnect(func())
}

// Lease is held by one of several feeds at a time.
type Lease interface {
	// Held says whether it is this one now. It is asked for every message.
	Held() bool
}
