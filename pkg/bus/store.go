package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/market"
)

// The JetStream streams.
const (
	tradesStream = "TICKCAST_TRADES"
	lastStream   = "TICKCAST_LAST"
)

// While JetStream answers with an error we ask again soon: a cluster elects its leader. Where
// it is absent, or goes on refusing, we ask seldom: that is for an operator to change.
const (
	storeRetryMin = 250 * time.Millisecond
	storeRetryMax = 30 * time.Second
)

type storeState int

const (
	storeUnknown storeState = iota
	storePresent
	storeAbsent
)

// storeOf names the JetStream stream that remembers the messages of a channel.
func storeOf(ch market.Channel) string {
	if ch == market.ChannelTrade {
		return tradesStream
	}
	return lastStream
}

func (b *Bus) storeConfigs() []jetstream.StreamConfig {
	trades := jetstream.StreamConfig{
		Name:              tradesStream,
		Description:       "tickcast: recent trades by symbol",
		Subjects:          []string{channelSubject(market.ChannelTrade), fenceSubject(tradesStream)},
		MaxMsgsPerSubject: b.cfg.HistoryPerStream,
		MaxBytes:          b.cfg.HistoryBytes,
	}
	last := jetstream.StreamConfig{
		Name:              lastStream,
		Description:       "tickcast: newest quote and bar by symbol, and the directory",
		Subjects:          []string{channelSubject(market.ChannelQuote), channelSubject(market.ChannelBar), allDirectory, fenceSubject(lastStream)},
		MaxMsgsPerSubject: 1,
	}
	configs := []jetstream.StreamConfig{trades, last}
	for i := range configs {
		configs[i].Storage = jetstream.MemoryStorage
		configs[i].Replicas = b.cfg.Replicas
		configs[i].Discard = jetstream.DiscardOld
		configs[i].AllowDirect = true
	}
	return configs
}

// keep settles each new link, until Close.
func (b *Bus) keep() {
	defer close(b.kept)
	for {
		select {
		case <-b.closing.Done():
			return
		case <-b.wake:
			if l := b.currentLink(); l != nil {
				b.settle(l)
			}
		}
	}
}

// settle makes sure of the streams and then tells all who wait for that. nats.go has renewed
// the subscriptions ahead of our requests, so they are in effect by then.
func (b *Bus) settle(l *link) {
	known, wait := storeUnknown, storeRetryMin
	for {
		state, err := b.ensureStores(l.alive)
		if state != storeUnknown && state != known {
			if !b.markReady(l, state) {
				return
			}
			if state == storeAbsent {
				b.log.Warn("NATS stores nothing for us: live ticks only, no last values and no history", zap.Error(err))
			}
			if l.again || known == storeAbsent {
				b.tellReconnected()
			}
			known = state
		}
		switch state {
		case storePresent:
			return
		case storeAbsent:
			wait = storeRetryMax
		case storeUnknown:
			wait = min(2*wait, storeRetryMax)
			if l.alive.Err() == nil {
				b.log.Warn("JetStream is not ready", zap.Error(err), zap.Duration("retry", wait))
			}
		}
		select {
		case <-l.alive.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (b *Bus) markReady(l *link, state storeState) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.link != l {
		return false
	}
	b.store = state
	select {
	case <-b.ready:
	default:
		close(b.ready)
	}
	return true
}

func (b *Bus) tellReconnected() {
	b.reportLost("reconnected")
	b.mu.Lock()
	hooks := b.hooks
	b.mu.Unlock()
	for _, hook := range hooks {
		hook()
	}
}

// ensureStores creates the streams that are missing. One that an operator has made stays as it
// is. The error is the reason wherever the state is not storePresent.
func (b *Bus) ensureStores(ctx context.Context) (storeState, error) {
	for _, cfg := range b.storeConfigs() {
		stream, err := b.js.Stream(ctx, cfg.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			stream, err = b.js.CreateStream(ctx, cfg)
			if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
				err = nil // another process was quicker, with other limits
			} else if err == nil {
				b.log.Info("JetStream stream created", zap.String("stream", cfg.Name))
			}
		}
		switch {
		case storeIsAbsent(err):
			return storeAbsent, err
		case err != nil:
			return storeUnknown, fmt.Errorf("stream %s: %w", cfg.Name, err)
		case stream != nil && !stream.CachedInfo().Config.AllowDirect:
			return storeAbsent, fmt.Errorf("stream %s: allow_direct must be on", cfg.Name)
		}
	}
	return storePresent, nil
}

func storeIsAbsent(err error) bool {
	return errors.Is(err, jetstream.ErrJetStreamNotEnabled) ||
		errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) ||
		errors.Is(err, nats.ErrNoResponders)
}

// storeLink returns the link on which to ask JetStream, or why there is no use in asking.
func (b *Bus) storeLink() (*link, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.link == nil || b.closing.Err() != nil:
		return nil, b.gone()
	case b.store == storeAbsent:
		return nil, ErrNoStore
	}
	return b.link, nil
}

// OnReconnect has fn called after each reconnect, when the streams exist again: whatever NATS
// has forgotten must be announced and published anew. The functions run one at a time, in the
// order given, on one goroutine of the Bus; while they run a further reconnect waits.
func (b *Bus) OnReconnect(fn func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hooks = append(b.hooks, fn)
}
