package uplink

import (
	"context"

	"github.com/tickcast/tickcast/pkg/bus"
	"github.com/tickcast/tickcast/pkg/market"
)

type Uplink struct{ *bus.Bus }

func (u Uplink) Run(ctx context.Context, message func(string, []byte), idle func(), announced func(string, []market.Channel), lost func(string)) error {
	return u.Bus.Run(ctx, bus.Handler{Messages: func(ms []bus.Message) {
		for i := range ms {
			message(ms[i].Subject, ms[i].Data)
		}
		idle()
	}, Announced: announced, Lost: lost})
}
func (u Uplink) Subject(s market.Stream) string                     { return bus.Subject(s) }
func (u Uplink) ParseSubject(subject string) (market.Stream, error) { return bus.ParseSubject(subject) }
func (u Uplink) Connected() (bool, bool)                            { s := u.Status(); return s.Connected, s.Ever }
