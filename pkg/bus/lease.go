package bus

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// leaseBucket is the key-value store that holds leases. It has no expiry of its own: a lease
// ends when whoever waits for it has seen no renewal for leaseFor, by its own clock.
const leaseBucket = "TICKCAST_LEASE"

const (
	leaseFor   = 1200 * time.Millisecond
	leaseEvery = 200 * time.Millisecond
	// leaseMargin is what a holder gives away of leaseFor, for clocks that run unevenly.
	leaseMargin = 100 * time.Millisecond
)

// A Lease is held by one process at a time, of all that ask for it under the same name. When
// its holder ends, or loses NATS, another has it within two seconds.
//
// A holder counts leaseFor from before it asked for the renewal, one that waits from after it
// saw it. So nobody holds a lease that somebody else may take, but for one case: where a
// cluster forgets the lease (a server with the only replica restarts) while its holder stays
// connected to another server, two may hold it until the holder's next renewal, leaseEvery.
type Lease struct {
	bus       *Bus
	key, self string
	log       *zap.Logger
	born      time.Time

	until atomic.Int64  // ns since born; when it is not held any more
	on    atomic.Uint64 // the connection on which it was renewed: Bus.breaks then

	// Run's
	kv     jetstream.KeyValue
	seen   uint64 // the holder's latest renewal
	seenAt time.Time
	holder string
}

// NewLease returns the lease of that name, [A-Za-z0-9_-]+, not held until Run has got it.
func (b *Bus) NewLease(name string) *Lease {
	return &Lease{bus: b, key: name, self: nats.NewInbox()[len("_INBOX."):], log: b.log, born: time.Now()}
}

// Held says whether the lease is held at this moment. It waits for nothing.
func (l *Lease) Held() bool {
	return int64(time.Since(l.born)) < l.until.Load() && l.on.Load() == l.bus.breaks.Load()
}

// Run keeps the lease, or waits for it, until ctx ends, and then gives it up.
func (l *Lease) Run(ctx context.Context) {
	tick := time.NewTicker(leaseEvery)
	defer tick.Stop()
	for {
		if err := l.step(ctx); err != nil && ctx.Err() == nil {
			l.log.Debug("lease", zap.String("name", l.key), zap.Error(err))
		}
		select {
		case <-ctx.Done():
			l.giveUp()
			return
		case <-tick.C:
		}
	}
}

// step renews the lease, or takes it where it is free.
func (l *Lease) step(ctx context.Context) error {
	link, err := l.bus.storeLink()
	if err != nil {
		return err
	}
	ctx, cancel := link.bound(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, leaseFor/2)
	defer cancel()
	if err := l.open(ctx); err != nil {
		return err
	}
	began, on := time.Since(l.born), l.bus.breaks.Load()
	entry, err := l.kv.Get(ctx, l.key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		_, err = l.kv.Create(ctx, l.key, []byte(l.self))
	case err != nil:
		l.kv = nil // may be gone: looked for again
		return err
	case string(entry.Value()) == l.self, l.overdue(entry):
		_, err = l.kv.Update(ctx, l.key, []byte(l.self), entry.Revision())
	default:
		l.until.Store(0)
		return nil
	}
	if err != nil {
		return err // it may be ours all the same: the next step sees
	}
	l.note(l.self)
	l.on.Store(on)
	l.until.Store(int64(began + leaseFor - leaseMargin))
	return nil
}

// overdue says whether somebody else's lease has not been renewed for too long.
func (l *Lease) overdue(entry jetstream.KeyValueEntry) bool {
	l.note(string(entry.Value()))
	if entry.Revision() != l.seen {
		l.seen, l.seenAt = entry.Revision(), time.Now()
	}
	return time.Since(l.seenAt) >= leaseFor
}

func (l *Lease) note(holder string) {
	if holder != l.holder {
		l.holder = holder
		l.log.Info("lease", zap.String("name", l.key), zap.Bool("ours", holder == l.self))
	}
}

func (l *Lease) open(ctx context.Context) (err error) {
	if l.kv != nil {
		return nil
	}
	l.kv, err = l.bus.js.KeyValue(ctx, leaseBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		l.kv, err = l.bus.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: leaseBucket, Description: "tickcast: which feed of several publishes",
			Storage: jetstream.MemoryStorage, Replicas: l.bus.cfg.Replicas,
		})
	}
	if err != nil {
		l.kv = nil
		return fmt.Errorf("bucket %s: %w", leaseBucket, err)
	}
	return nil
}

// giveUp lets the next one in at once.
func (l *Lease) giveUp() {
	held := l.Held()
	l.until.Store(0)
	if !held {
		return
	}
	ctx, cancel := context.WithTimeout(l.bus.closing, leaseFor/2)
	defer cancel()
	if err := l.remove(ctx); err != nil {
		l.log.Debug("lease not given up", zap.String("name", l.key), zap.Error(err))
	}
}

// remove takes the entry away if it is ours. The step that was under way at the end may have failed.
func (l *Lease) remove(ctx context.Context) error {
	if err := l.open(ctx); err != nil {
		return err
	}
	entry, err := l.kv.Get(ctx, l.key)
	if err != nil || string(entry.Value()) != l.self {
		return err
	}
	return l.kv.Delete(ctx, l.key, jetstream.LastRevision(entry.Revision()))
}
