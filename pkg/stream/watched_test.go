package stream_test

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tickcast/tickcast/internal/uplink"
	"github.com/tickcast/tickcast/pkg/market"
)

// watched notes what the node asks of upstream, and may lose what comes.
type watched struct {
	uplink.Uplink
	mu       sync.Mutex
	subs     map[string]bool
	searches int
	losing   bool
	unread   atomic.Bool // the directory
}

func (w *watched) Known() bool { return !w.unread.Load() && w.Uplink.Known() }

func (w *watched) Run(ctx context.Context, message func(string, []byte, map[string][]string), idle func(), announced func(string, []market.Channel), lost func(string)) error {
	return w.Uplink.Run(ctx, func(subject string, body []byte, header map[string][]string) {
		w.mu.Lock()
		losing := w.losing
		w.mu.Unlock()
		if !losing {
			message(subject, body, header)
		}
	}, idle, announced, lost)
}

func (w *watched) lose(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.losing = on
}

func (w *watched) History(ctx context.Context, s market.Stream, since time.Time, yield func([]byte) bool) (bool, error) {
	w.mu.Lock()
	w.searches++
	w.mu.Unlock()
	return w.Uplink.History(ctx, s, since, yield)
}

func (w *watched) set(name string, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if on {
		w.subs[name] = true
	} else {
		delete(w.subs, name)
	}
}

func (w *watched) Subscribe(s market.Stream) error {
	w.set(s.String(), true)
	return w.Uplink.Subscribe(s)
}

func (w *watched) Unsubscribe(s market.Stream) {
	w.set(s.String(), false)
	w.Uplink.Unsubscribe(s)
}

func (w *watched) SubscribeAll(ch market.Channel) error {
	w.set(ch.String()+" *", true)
	return w.Uplink.SubscribeAll(ch)
}

func (w *watched) UnsubscribeAll(ch market.Channel) {
	w.set(ch.String()+" *", false)
	w.Uplink.UnsubscribeAll(ch)
}

func (w *watched) wants(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.subs[name]
}
