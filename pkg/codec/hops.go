package codec

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Hops are the parts of ticks' way to a node's subscribers, each as it lately was; nil where
// that is not known.
type Hops struct {
	Venue *Hop // the event's own time ... taken by the feed
	Feed  *Hop // ... published
	NATS  *Hop // ... reached the node
	Node  *Hop // ... handed to the sockets of those who keep up
}

// A Hop is how long one part of the way took. Its two ends may be on different clocks: it is
// longer or shorter by their difference, and may be below zero. Whole microseconds on the wire.
type Hop struct{ Median, P99 time.Duration }

// hopNames are the keys of the wire form, in order.
var hopNames = [...]string{"venue_ms", "feed_ms", "nats_ms", "node_ms"}

func (h *Hops) all() [len(hopNames)]**Hop {
	return [...]**Hop{&h.Venue, &h.Feed, &h.NATS, &h.Node}
}

// appendHops appends the entry of a stat's map.
func appendHops(dst []byte, h Hops) []byte {
	all, known := h.all(), 0
	for _, hop := range all {
		if *hop != nil {
			known++
		}
	}
	dst = appendMap(appendStr(dst, "hops"), known)
	for i, hop := range all {
		if h := *hop; h != nil {
			dst = appendArray(appendStr(dst, hopNames[i]), 2)
			dst = appendFloat(appendFloat(dst, toMillis(h.Median)), toMillis(h.P99))
		}
	}
	return dst
}

func toMillis(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

func (r *reader) hops() (h Hops) {
	all := h.all()
	r.entries(func(key string) {
		for i, name := range hopNames {
			if key == name {
				*all[i] = r.hop()
				return
			}
		}
		r.skip()
	})
	return h
}

// hop reads two numbers, and passes over more.
func (r *reader) hop() *Hop {
	n := r.array()
	if n < 2 {
		r.fail("want a median and a p99")
		return nil
	}
	h := &Hop{r.fractionOfMillis(), r.fractionOfMillis()}
	for ; n > 2 && r.err == nil; n-- {
		r.skip()
	}
	return h
}

func (r *reader) fractionOfMillis() time.Duration {
	ms := r.float()
	if !(math.Abs(ms) < 1e12) { // 31 years
		r.fail("want milliseconds, got %v", ms)
		return 0
	}
	return time.Duration(math.Round(ms*1e3)) * time.Microsecond
}

// Times say when one tick of a message came by, in Unix ns: Event on the venue's clock, the
// others on the feed's.
type Times struct{ Event, Taken, Published int64 }

// timesKey is the header of a message that carries Times.
const timesKey = "Tickcast-Times"

// Mark adds the times to a message's header, which may be nil, and returns it.
func (t Times) Mark(header map[string][]string) map[string][]string {
	if header == nil {
		header = make(map[string][]string, 1)
	}
	b := strconv.AppendInt(nil, t.Event, 10)
	b = strconv.AppendInt(append(b, ' '), t.Taken, 10)
	b = strconv.AppendInt(append(b, ' '), t.Published, 10)
	header[timesKey] = []string{string(b)}
	return header
}

// TimesOf reads what Mark has added; ok is false where there is nothing of the kind.
func TimesOf(header map[string][]string) (t Times, ok bool) {
	values := header[timesKey]
	if len(values) == 0 {
		return Times{}, false
	}
	event, rest, _ := strings.Cut(values[0], " ")
	taken, published, _ := strings.Cut(rest, " ")
	ok = true
	for _, part := range [...]struct {
		text string
		to   *int64
	}{{event, &t.Event}, {taken, &t.Taken}, {published, &t.Published}} {
		n, err := strconv.ParseInt(part.text, 10, 64)
		*part.to, ok = n, ok && err == nil
	}
	return t, ok
}
