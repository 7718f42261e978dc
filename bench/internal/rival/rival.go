// Package rival is servers to compare with: each receives the same trades from the same NATS
// as a tickcast node, and sends them in the same windows to the same subscribers, by another
// WebSocket library, set up as its documentation advises.
//
// All but one share a [Hub]: NATS in, matching by symbol, one msgpack batch a window and
// subscriber. What differs between their files is what a library asks for: how a connection is
// upgraded and read, and how a message is written. Unlike tickcast they keep no queue, no
// history and no snapshot, count nothing, and wait for a subscriber that is slow.
package rival

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/tickcast/tickcast/bench/internal/wire"
	"github.com/tickcast/tickcast/pkg/codec"
)

// Config is the work. All of it is required.
type Config struct {
	NATS    string   // where the trades come from
	Symbols []string // of the market, in order
	Window  time.Duration
}

// handshakeTimeout bounds an upgrade and the subscribe request behind it.
const handshakeTimeout = 30 * time.Second

// Accept calls serve, on a goroutine of its own, for every connection until ctx ends, and
// returns when all have returned. A connection whose serve fails is closed.
func Accept(ctx context.Context, ln net.Listener, serve func(*net.TCPConn) error) error {
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		c, err := ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		serving.Go(func() {
			if serve(c.(*net.TCPConn)) != nil {
				_ = c.Close()
			}
		})
	}
}

// Handshake upgrades c, reads a subscribe request and answers it. It returns which of the
// symbols were asked for.
func Handshake(c *net.TCPConn, symbols []string) ([]int, error) {
	_ = c.SetDeadline(time.Now().Add(handshakeTimeout))
	br, err := wire.Accept(c)
	if err != nil {
		return nil, err
	}
	_, request, err := wire.ReadMasked(br)
	if err != nil {
		return nil, err
	}
	wanted, ack, err := Subscribe(request, symbols)
	if err != nil {
		return nil, err
	}
	frame := append(make([]byte, wire.HeadBytes), ack...)
	_, err = c.Write(frame[wire.PutHead(frame, wire.HeadBytes, wire.OpBinary):])
	_ = c.SetDeadline(time.Time{})
	return wanted, err
}

// Subscribe reads a subscribe request. It returns which of the symbols, which are in order,
// were asked for, and the batch that answers.
func Subscribe(request []byte, symbols []string) (wanted []int, ack []byte, err error) {
	req, bad := codec.DecodeRequest(codec.MsgPack, request)
	if bad != nil {
		return nil, nil, bad
	}
	for _, name := range req.Symbols {
		i, ok := slices.BinarySearch(symbols, name)
		if !ok {
			return nil, nil, fmt.Errorf("no symbol %q", name)
		}
		wanted = append(wanted, i)
	}
	slices.Sort(wanted)
	var b codec.Batch
	b.Reset(codec.MsgPack, nil)
	b.AddRecord(codec.AppendAck(nil, &codec.Ack{ID: req.ID, Channels: req.Channels, Symbols: req.Symbols}))
	return wanted, b.Bytes(), nil
}
