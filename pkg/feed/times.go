package feed

import (
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// Some messages tell by a header when one of their ticks happened, was taken and was published,
// so that nodes know where time goes. Each stream has its turn, for a node hears of those alone
// that somebody there wants: every 100 ms where there are two, every 5 s where there are more
// than 100. Then it is the stream's next trade or quote, whichever that is. A message with a header
// takes some 30 us longer from here to the sockets of an idle node, so that most must be without.
const (
	timedPerTurn  = 2 // streams: some 20 headers a second
	timedTurnsMax = 50
)

// A stopwatch chooses ticks by the publisher's own clock: a look at the system's costs more than
// all else that a tick does not need.
type stopwatch struct {
	turn    int // tenths of a second
	streams int
}

// join gives a new stream its place among the turns. A bar is made here, and has no time of
// another's.
func (w *stopwatch) join(l *line) {
	if l.stream.Channel == market.ChannelBar {
		return
	}
	w.streams++
	l.timedFrom = w.turn + w.streams%timedTurnsMax
}

// took notes when the line's newest tick was taken, if it is the one. It happened at event.
func (w *stopwatch) took(l *line, event int64) {
	if w.turn < l.timedFrom {
		return
	}
	l.timedFrom = w.turn + min(max(1, w.streams/timedPerTurn), timedTurnsMax)
	l.times = &codec.Times{Event: event, Taken: time.Now().UnixNano()}
}

// addTimes adds the line's times, if it has some, to the header of its message.
func (l *line) addTimes(header map[string][]string) map[string][]string {
	if l.times == nil {
		return header
	}
	l.times.Published = time.Now().UnixNano()
	header = l.times.Mark(header)
	l.times = nil // what is sent again is late for another reason
	return header
}
