package rival

import (
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/tickcast/tickcast/pkg/bus"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// A window is what came between two flushes.
type window struct {
	records [][]byte // by symbol: msgpack records
	counts  []int    // how many
	total   int
}

func newWindow(symbols int) *window {
	return &window{records: make([][]byte, symbols), counts: make([]int, symbols)}
}

func (w *window) clear() {
	for i := range w.records {
		w.records[i], w.counts[i] = w.records[i][:0], 0
	}
	w.total = 0
}

// An intake receives the trades of a market from NATS: with nats.go, by one subscription to
// every symbol and a callback, which is its cheapest way. What comes is checked and appended
// to a window as it is, not decoded: the feed has encoded it as subscribers get it.
type intake struct {
	conn      *nats.Conn
	symbols   []string
	bySubject map[string]int

	mu   sync.Mutex
	open *window // being filled
	last *window // belongs to whoever called take
}

// everyTrade is the subject of all symbols' trades.
const everyTrade = "tick.trade.>"

func newIntake(cfg Config) (*intake, error) {
	in := &intake{
		symbols: cfg.Symbols, bySubject: make(map[string]int, len(cfg.Symbols)),
		open: newWindow(len(cfg.Symbols)), last: newWindow(len(cfg.Symbols)),
	}
	for i := range cfg.Symbols {
		in.bySubject[bus.Subject(in.stream(i))] = i
	}
	var err error
	if in.conn, err = nats.Connect(cfg.NATS, nats.Name("bench rival")); err != nil {
		return nil, fmt.Errorf("rival: %s: %w", cfg.NATS, err)
	}
	if _, err := in.conn.Subscribe(everyTrade, in.receive); err != nil {
		in.conn.Close()
		return nil, fmt.Errorf("rival: subscribe %s: %w", everyTrade, err)
	}
	return in, nil
}

func (in *intake) stream(i int) market.Stream {
	return market.Stream{Channel: market.ChannelTrade, Symbol: in.symbols[i]}
}

// receive is called by nats.go, on one goroutine.
func (in *intake) receive(m *nats.Msg) {
	i, ok := in.bySubject[m.Subject]
	if !ok {
		return // another market's
	}
	chunk, _, err := codec.ParseChunk(in.stream(i), m.Data)
	if err != nil {
		return // by no feed of ours
	}
	in.mu.Lock()
	in.open.records[i] = append(in.open.records[i], chunk.Bytes...)
	in.open.counts[i] += chunk.N
	in.open.total += chunk.N
	in.mu.Unlock()
}

// take ends the window and returns it. It is the caller's until the next take.
func (in *intake) take() *window {
	in.last.clear()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.open, in.last = in.last, in.open
	return in.last
}

func (in *intake) close() { in.conn.Close() }
