package rival

import (
	"context"
	"sync"
	"time"

	"github.com/tickcast/tickcast/bench/internal/tape"
	"github.com/tickcast/tickcast/bench/internal/wire"
)

// A Sender is a connection of some library. Send writes one binary message and does not
// keep it; it is called from one goroutine, and an error ends the connection.
type Sender interface {
	Send(msg []byte) error
}

// A Hub is the loop that all rivals share: once a window it builds each subscriber's message
// and sends it.
type Hub struct {
	cfg    Config
	market *tape.Windows

	mu   sync.Mutex
	subs map[Sender][]int
}

// NewHub starts a market.
func NewHub(cfg Config) *Hub {
	return &Hub{cfg: cfg, market: tape.NewWindows(tape.New(cfg.Symbols, cfg.Rate, time.Now())), subs: make(map[Sender][]int)}
}

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
	h.subs[s] = wanted
	return nil
}

// Remove ends a subscription; once more is no harm.
func (h *Hub) Remove(s Sender) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subs, s)
}

// Run sends until ctx ends.
func (h *Hub) Run(ctx context.Context) {
	h.each(ctx, func(msg []byte) {
		for s, wanted := range h.subs {
			msg, n := wire.AppendBatchHead(msg[:0]), 0
			for _, i := range wanted {
				if k := h.market.Counts[i]; k > 0 {
					msg = append(msg, h.market.Chunks[i]...)
					n += k
				}
			}
			if n == 0 {
				continue
			}
			wire.PutCount(msg, n)
			if s.Send(msg) != nil {
				delete(h.subs, s)
			}
		}
	})
}

// messageBytes holds the largest message of any sensible cell.
const messageBytes = 16 << 20

// each calls flush at the end of every window in which something happened, under the lock.
func (h *Hub) each(ctx context.Context, flush func(msg []byte)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	msg := make([]byte, 0, messageBytes)
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := time.Now()
		h.market.Take(now)
		if h.market.Total > 0 {
			h.mu.Lock()
			flush(msg)
			h.mu.Unlock()
		}
		next := now.Add(h.cfg.Window)
		if h.cfg.Window == 0 {
			next = h.market.NextAt()
		}
		timer.Reset(time.Until(next))
	}
}

// batch makes a batch of n records.
func batch(records []byte, n int) []byte {
	b := append(wire.AppendBatchHead(make([]byte, 0, len(records)+3)), records...)
	wire.PutCount(b, n)
	return b
}
