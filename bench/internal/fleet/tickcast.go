package fleet

import (
	"github.com/tickcast/tickcast/bench/internal/wire"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// Tickcast is the Dialect of a tickcast node, for subscribers that count.
type Tickcast struct {
	Encoding   codec.Encoding
	Channels   []market.Channel
	IntervalMS *int64
	Policy     string
}

// Subprotocol implements Dialect.
func (d *Tickcast) Subprotocol(int) string { return d.Encoding.Subprotocol() }

// Subscribe implements Dialect. The request is MessagePack, whatever the answers are.
func (d *Tickcast) Subscribe(_ int, m *Member) (byte, []byte, error) {
	req, err := codec.AppendRequest(nil, codec.MsgPack, &codec.Request{
		Op: codec.OpSubscribe, Channels: d.Channels, Symbols: m.Symbols, IntervalMS: d.IntervalMS, Policy: d.Policy,
	})
	return wire.OpBinary, req, err
}

// Message implements Dialect.
func (d *Tickcast) Message(_ int, t *wire.Tally, payload []byte) int64 {
	if d.Encoding == codec.JSON {
		return t.JSON(payload)
	}
	return t.MsgPack(payload)
}

// Closed implements Dialect.
func (d *Tickcast) Closed(int) {}
