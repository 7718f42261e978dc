// Package uplink fits a bus to what a streamer node asks of its upstream, so that neither
// package knows the other.
package uplink

import (
	"context"
	"errors"
	"time"

	"github.com/tickcast/tickcast/pkg/bus"
	"github.com/tickcast/tickcast/pkg/market"
)

// Uplink is a stream.Upstream.
type Uplink struct{ *bus.Bus }

// Run delivers until ctx ends, as stream.Upstream says.
func (u Uplink) Run(ctx context.Context, message func(subject string, body []byte, header map[string][]string), idle func(), announced func(symbol string, channels []market.Channel), lost func(reason string)) error {
	return u.Bus.Run(ctx, bus.Handler{
		Messages: func(all []bus.Message) {
			for i := range all {
				message(all[i].Subject, all[i].Data, all[i].Header)
			}
			idle()
		},
		Announced: announced,
		Lost:      lost,
	})
}

// Subject names the stream at NATS.
func (u Uplink) Subject(s market.Stream) string { return bus.Subject(s) }

// ParseSubject is the inverse of Subject.
func (u Uplink) ParseSubject(subject string) (market.Stream, error) { return bus.ParseSubject(subject) }

// History reads the store, as stream.Upstream says.
func (u Uplink) History(ctx context.Context, s market.Stream, since time.Time, yield func(body []byte) bool) (absent bool, err error) {
	err = u.Bus.History(ctx, s, since, yield)
	if errors.Is(err, bus.ErrNoStore) {
		return true, nil
	}
	return false, err
}

// Lost counts reconnects and dropped messages since the start.
func (u Uplink) Lost() (reconnects, dropped uint64) {
	s := u.Status()
	return s.Reconnects, s.Dropped
}

// Connected says whether NATS is there now, and whether it ever was.
func (u Uplink) Connected() (now, ever bool) {
	s := u.Status()
	return s.Connected, s.Ever
}

// Known says whether all symbols that the store knows were announced.
func (u Uplink) Known() bool {
	select {
	case <-u.Bus.Known():
		return true
	default:
		return false
	}
}
