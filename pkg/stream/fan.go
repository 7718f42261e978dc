package stream

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tickcast/tickcast/pkg/market"
)

// A fan gives one upstream to several ingests: the node's own, which runs it, and those that
// see everything later. What any of them subscribes to is subscribed once.
type fan struct {
	Upstream

	late atomic.Pointer[[]*delayed] // replaced whole, under mu: each message looks

	mu    sync.Mutex
	named map[string]int // by subject: how many ingests want it
	all   [market.Channels]int
}

func newFan(up Upstream) *fan {
	f := &fan{Upstream: up, named: make(map[string]int)}
	f.late.Store(new([]*delayed))
	return f
}

// Run is the node's own ingest's. What comes is put into the lines of the late first.
func (f *fan) Run(ctx context.Context,
	message func(subject string, body []byte, header map[string][]string), idle func(),
	announced func(symbol string, channels []market.Channel), lost func(reason string),
) error {
	return f.Upstream.Run(ctx,
		func(subject string, body []byte, header map[string][]string) {
			for _, d := range *f.late.Load() {
				d.tap(subject, body)
			}
			message(subject, body, header)
		},
		idle,
		func(symbol string, channels []market.Channel) {
			for _, d := range *f.late.Load() {
				d.in.announced(symbol, channels) // a name is no news of its price
			}
			announced(symbol, channels)
		},
		func(reason string) {
			for _, d := range *f.late.Load() {
				d.put(held{due: d.clock.now() + d.by, lost: reason})
			}
			lost(reason)
		})
}

// add has a delayed tapped from now on.
func (f *fan) add(d *delayed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	late := append(slices.Clone(*f.late.Load()), d)
	f.late.Store(&late)
}

// held is what waits in all lines, and how many messages they had no room for.
func (f *fan) held() (bytes, lost int) {
	for _, d := range *f.late.Load() {
		d.mu.Lock()
		bytes += d.bytes
		lost += d.lost
		d.mu.Unlock()
	}
	return bytes, lost
}

// Subscribe and the other three count who wants what.
func (f *fan) Subscribe(s market.Stream) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	subject := f.Subject(s)
	if f.named[subject]++; f.named[subject] > 1 {
		return nil
	}
	return f.Upstream.Subscribe(s)
}

// Unsubscribe ends one Subscribe.
func (f *fan) Unsubscribe(s market.Stream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	subject := f.Subject(s)
	if f.named[subject]--; f.named[subject] == 0 {
		delete(f.named, subject)
		f.Upstream.Unsubscribe(s)
	}
}

// SubscribeAll asks for a channel.
func (f *fan) SubscribeAll(ch market.Channel) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all[ch]++; f.all[ch] > 1 {
		return nil
	}
	return f.Upstream.SubscribeAll(ch)
}

// UnsubscribeAll ends one SubscribeAll.
func (f *fan) UnsubscribeAll(ch market.Channel) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all[ch]--; f.all[ch] == 0 {
		f.Upstream.UnsubscribeAll(ch)
	}
}
