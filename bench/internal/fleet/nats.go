package fleet

import (
	"bytes"
	"strconv"
	"strings"
	"sync"

	"github.com/tickcast/tickcast/bench/internal/wire"
)

// NATS is the Dialect of nats-server's WebSocket listener: a symbol is a subject, and each
// message to it holds a batch. A client that does not answer PING lasts four minutes.
type NATS struct {
	mu    sync.Mutex
	parts map[int][]byte // of members, what has come of a command
}

// Subprotocol implements Dialect.
func (d *NATS) Subprotocol(int) string { return "" }

// Subscribe implements Dialect. The PONG that answers is its ack.
func (d *NATS) Subscribe(_ int, m *Member) (byte, []byte, error) {
	var b strings.Builder
	b.WriteString("CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1}\r\n")
	for i, s := range m.Symbols {
		b.WriteString("SUB " + s + " " + strconv.Itoa(i+1) + "\r\n")
	}
	b.WriteString("PING\r\n")
	return wire.OpBinary, []byte(b.String()), nil
}

// Message implements Dialect: one WebSocket message, with any number of NATS's own in it.
func (d *NATS) Message(number int, t *wire.Tally, payload []byte) (oldest int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var inside wire.Tally
	if part := d.parts[number]; len(part) > 0 {
		payload = append(part, payload...)
	}
	rest := payload
	for {
		line, after, whole := bytes.Cut(rest, []byte("\r\n"))
		if !whole {
			break
		}
		if bytes.HasPrefix(line, []byte("MSG ")) {
			n, err := strconv.Atoi(string(line[bytes.LastIndexByte(line, ' ')+1:]))
			if err != nil {
				inside.Malformed++
				break
			}
			if len(after) < n+2 {
				break
			}
			if ts := inside.MsgPack(after[:n]); oldest == 0 {
				oldest = ts
			}
			after = after[n+2:]
		} else if bytes.Equal(line, []byte("PONG")) {
			inside.Acks++
		} else if bytes.HasPrefix(line, []byte("-ERR")) {
			inside.Errors++
		}
		rest = after
	}
	d.keep(number, rest)
	inside.Messages = 1
	t.Add(&inside)
	return oldest
}

func (d *NATS) keep(number int, rest []byte) {
	switch {
	case len(rest) == 0:
		delete(d.parts, number)
	case d.parts == nil:
		d.parts = make(map[int][]byte)
		fallthrough
	default:
		d.parts[number] = append([]byte(nil), rest...)
	}
}

// Closed implements Dialect.
func (d *NATS) Closed(number int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.parts, number)
}
