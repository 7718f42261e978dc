package bus

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/tickcast/tickcast/pkg/market"
)

// Publish sends body, records of s, to whoever has subscribed and to JetStream. It does not
// wait: Flush does. body may be reused after the return, and is limited by the server
// (max_payload, 1 MiB unless set). Errors: ErrDisconnected and ErrClosed, with nothing sent or
// kept for later; market.ErrSymbol; a body that is too large.
func (b *Bus) Publish(s market.Stream, body []byte) error {
	if err := market.CheckSymbol(s.Symbol); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return b.published(s, body, b.nc.Publish(Subject(s), body))
}

// PublishWith is Publish with a header, which whoever reads the body can do without.
func (b *Bus) PublishWith(s market.Stream, body []byte, header map[string][]string) error {
	if err := market.CheckSymbol(s.Symbol); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return b.published(s, body, b.nc.PublishMsg(&nats.Msg{Subject: Subject(s), Data: body, Header: header}))
}

func (b *Bus) published(s market.Stream, body []byte, err error) error {
	if err != nil {
		return fmt.Errorf("publish %s (%d bytes): %w", s, len(body), b.translate(err))
	}
	return nil
}

// Announce puts symbol into the directory with the channels that its feed publishes, in place
// of what was announced before. Errors are those of Publish.
func (b *Bus) Announce(symbol string, channels []market.Channel) error {
	if err := market.CheckSymbol(symbol); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	if err := b.nc.Publish(directorySubject(symbol), []byte(joinChannels(channels))); err != nil {
		return fmt.Errorf("announce %s: %w", symbol, b.translate(err))
	}
	return nil
}

// Flush waits until the server has taken everything published since the Flush before. Where
// the connection broke in between, some of it may have gone nowhere: that is ErrBroken, though
// there be a new connection by now, and the next Flush answers for what is published from then on.
func (b *Bus) Flush(ctx context.Context) error {
	if err := b.roundTrip(ctx, "flush"); err != nil {
		return err
	}
	// Counted by nats.go before a new connection takes anything, where our own callbacks
	// run some time after.
	now := b.nc.Stats().Reconnects
	b.mu.Lock()
	defer b.mu.Unlock()
	if now != b.flushedOn {
		b.flushedOn = now
		return fmt.Errorf("flush: %w", ErrBroken)
	}
	return nil
}

// Sync waits until the server has put every Subscribe before it into effect. Messages
// published from then on arrive; Last, asked then, gives what came before.
func (b *Bus) Sync(ctx context.Context) error { return b.roundTrip(ctx, "sync") }

func (b *Bus) roundTrip(ctx context.Context, purpose string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := nats.ErrConnectionClosed
	if b.nc.IsConnected() { // or the ping would wait for the next connection
		err = b.nc.FlushWithContext(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", purpose, b.translate(err))
	}
	return nil
}
