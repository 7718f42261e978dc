package main

import (
	"encoding/binary"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/lxzan/gws"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// A subscriber is one connection and its books.
type subscriber struct {
	gws.BuiltinEventHandler
	ws  *gws.Conn
	enc codec.Encoding
	req codec.Request

	mu       sync.Mutex // read loop and collect
	events   int64
	messages int64
	bytes    int64
	gaps     int64
	missed   int64

	unaccounted int64
	doubled     int64
	closed      bool
	next        map[string]int64 // by symbol: the trade seq that must come
	latency     *hdrhistogram.Histogram
}

func dial(l *load, symbols []string) (*subscriber, error) {
	s := &subscriber{next: make(map[string]int64, len(symbols)), latency: newHistogram()}
	if l.Encoding == "json" {
		s.enc = codec.JSON
	}
	s.req = codec.Request{Op: codec.OpSubscribe, Symbols: symbols}
	for _, name := range l.Channels {
		ch, ok := market.ParseChannel(name)
		if !ok {
			return nil, errors.New("no channel " + name)
		}
		s.req.Channels = append(s.req.Channels, ch)
	}
	ws, _, err := gws.NewClient(s, &gws.ClientOption{
		Addr:          l.URL,
		RequestHeader: http.Header{"Sec-Websocket-Protocol": {s.enc.Subprotocol()}},
	})
	s.ws = ws
	return s, err
}

func (s *subscriber) subscribe() error {
	req, err := codec.AppendRequest(nil, codec.MsgPack, &s.req)
	if err != nil {
		return err
	}
	return s.ws.WriteMessage(gws.OpcodeBinary, req)
}

// OnClose notes the end.
func (s *subscriber) OnClose(*gws.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// OnMessage books a batch.
func (s *subscriber) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer func() { _ = m.Close() }()
	now := time.Now().UnixNano()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages++
	s.bytes += int64(len(m.Bytes()))
	if s.enc == codec.MsgPack && s.walk(m.Bytes(), now) {
		return
	}
	evs, err := codec.DecodeBatch(s.enc, m.Bytes())
	if err != nil {
		s.unaccounted++ // a batch that cannot be read hides what was in it
		return
	}
	s.decoded(evs, now)
}

// walk books a msgpack batch of live ticks without decoding it, which would cost more than
// the server's own work. It reports false, with nothing booked, for a batch with other events.
func (s *subscriber) walk(b []byte, now int64) bool {
	n, b := batchHead(b)
	for rest, i := b, 0; i < n; i++ {
		_, size, err := codec.NextTick(rest)
		if err != nil {
			return false
		}
		rest = rest[size:]
	}
	for range n {
		h, size, _ := codec.NextTick(b)
		switch h.Kind {
		case codec.KindTrade:
			s.came(string(h.Symbol), h.Seq, h.Seq)
			t, _, _ := codec.TradeValues(b[:size])
			s.late(now - t)
		case codec.KindAggregate:
			s.came(string(h.Symbol), h.Seq, h.To)
		case codec.KindGap:
			s.gap(h.Channel, string(h.Symbol), h.Seq, h.To)
		}
		s.events++
		b = b[size:]
	}
	return true
}

// batchHead reads the array head of a batch.
func batchHead(b []byte) (n int, rest []byte) {
	switch {
	case len(b) >= 1 && b[0]&0xf0 == 0x90:
		return int(b[0] & 0x0f), b[1:]
	case len(b) >= 3 && b[0] == 0xdc:
		return int(binary.BigEndian.Uint16(b[1:])), b[3:]
	}
	return 1, b // no array: walk fails and the decoder says why
}

func (s *subscriber) decoded(evs []codec.Event, now int64) {
	s.events += int64(len(evs))
	for _, ev := range evs {
		switch ev := ev.(type) {
		case market.Trade:
			s.came(ev.Symbol, ev.Seq, ev.Seq)
			s.late(now - ev.Time)
		case market.Aggregate:
			s.came(ev.Symbol, ev.FromSeq, ev.ToSeq)
		case codec.Gap:
			s.gap(ev.Stream.Channel, ev.Stream.Symbol, ev.From, ev.To)
		case codec.Snapshot:
			if t, ok := ev.Event.(market.Trade); ok {
				s.came(t.Symbol, t.Seq, t.Seq)
			}
		}
	}
}

// came books the trades from one seq to another.
func (s *subscriber) came(symbol string, from, to int64) {
	switch want := s.next[symbol]; {
	case want == 0 || from == want:
	case from > want:
		s.unaccounted += from - want
	default:
		s.doubled++
	}
	s.next[symbol] = to + 1
}

func (s *subscriber) gap(ch market.Channel, symbol string, from, to int64) {
	s.gaps++
	if ch == market.ChannelTrade {
		s.missed += to - from + 1
		s.came(symbol, from, to)
	}
}

func (s *subscriber) late(ns int64) { _ = s.latency.RecordValue(max(1, ns/1000)) } // beyond a minute is not counted
