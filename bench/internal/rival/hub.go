package rival

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tickcast/tickcast/bench/internal/wire"
)

// A Sender is a connection of some library. Send writes one binary message and does not
// keep it; it is called from one goroutine at a time, and an error ends the connection.
type Sender interface {
	Send(msg []byte) error
}

// A Hub is the loop that all rivals share: once a window it builds each subscriber's message
// from what has come for its symbols, and sends it.
type Hub struct {
	cfg    Config
	intake *intake

	mu   sync.Mutex
	subs []subscriber
	msg  []byte
}

type subscriber struct {
	Sender
	symbols []int
}

// NewHub connects to NATS. Close ends that.
func NewHub(cfg Config) (*Hub, error) {
	in, err := newIntake(cfg)
	return &Hub{cfg: cfg, intake: in}, err
}

// Close ends the subscription at NATS.
func (h *Hub) Close() { h.intake.close() }

// Add subscribes s, which has sent request, and answers it.
func (h *Hub) Add(s Sender, request []byte) error {
	wanted, ack, err := Subscribe(request, h.cfg.Symbols)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := s.Send(ack); err != nil {
		return err
	}
	h.subs = append(h.subs, subscriber{s, wanted})
	return nil
}

// Remove ends a subscription; once more is no harm.
func (h *Hub) Remove(s Sender) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subs = slices.DeleteFunc(h.subs, func(sub subscriber) bool { return sub.Sender == s })
}

// Run sends until ctx ends.
func (h *Hub) Run(ctx context.Context) {
	h.each(ctx, func(w *window) {
		h.subs = slices.DeleteFunc(h.subs, func(s subscriber) bool {
			msg, n := wire.AppendBatchHead(h.msg[:0]), 0
			for _, i := range s.symbols {
				msg = append(msg, w.records[i]...)
				n += w.counts[i]
			}
			h.msg = msg
			if n == 0 {
				return false
			}
			wire.PutCount(msg, n)
			return s.Send(msg) != nil
		})
	})
}

// each calls flush at the end of every window in which something came, under the lock.
func (h *Hub) each(ctx context.Context, flush func(*window)) {
	h.intake.each(ctx, h.cfg.Window, func(w *window) {
		h.mu.Lock()
		defer h.mu.Unlock()
		flush(w)
	})
}

// each calls flush at the end of every window in which something came, until ctx ends. A
// flush that takes longer than a window stretches it.
func (in *intake) each(ctx context.Context, every time.Duration, flush func(*window)) {
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-timer.C:
			if w := in.take(); w.total > 0 {
				flush(w)
			}
			timer.Reset(time.Until(now.Add(every)))
		}
	}
}

// batch makes a batch of n records.
func batch(records []byte, n int) []byte {
	b := append(wire.AppendBatchHead(make([]byte, 0, len(records)+3)), records...)
	wire.PutCount(b, n)
	return b
}
