package e2e_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/lxzan/gws"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// A subscriber is one connection that holds the node to the protocol as it reads: every
// stream has its book, and the first breach fails the test.
type subscriber struct {
	gws.BuiltinEventHandler
	t    *testing.T
	enc  codec.Encoding
	ws   *gws.Conn
	halt chan struct{} // nil, or closed when a reader that has stopped may go on

	mu     sync.Mutex // the rest
	books  map[market.Stream]*book
	others []codec.Event // what belongs to no stream, but for heartbeats
	asked  int64         // the last request's id
	broken bool
	closed bool
	code   uint16 // of the close frame, once closed
	watch  *watch // nil, or what measures how late ticks are
}

// A book holds one stream to the accounting rule.
type book struct {
	last     int64 // newest seq accounted for; 0 = none
	snapshot codec.Event
	ticks    []codec.Event // live, in the order of arrival
	gaps     []codec.Gap
}

// take enters the seqs from one to another.
func (b *book) take(s market.Stream, from, to int64) error {
	switch {
	case b.last == 0:
	case from <= b.last:
		return fmt.Errorf("%v: seq %d comes after %d", s, from, b.last)
	case s.Channel == market.ChannelTrade && from != b.last+1:
		return fmt.Errorf("%v: nothing names the seqs %d to %d", s, b.last+1, from-1)
	}
	b.last = to
	return nil
}

// dial connects and takes hello.
func (n *streamer) dial(enc codec.Encoding) *subscriber {
	n.t.Helper()
	return n.dialWith(enc, nil)
}

// dialHalted is dial for a subscriber that reads nothing behind hello until resume is called.
func (n *streamer) dialHalted(enc codec.Encoding) (s *subscriber, resume func()) {
	n.t.Helper()
	halt := make(chan struct{})
	s = n.dialWith(enc, halt)
	resume = sync.OnceFunc(func() { close(halt) })
	n.t.Cleanup(resume) // before the one that waits for the reader
	return s, resume
}

func (n *streamer) dialWith(enc codec.Encoding, halt chan struct{}) *subscriber {
	n.t.Helper()
	s := &subscriber{t: n.t, enc: enc, halt: halt, books: make(map[market.Stream]*book)}
	scheme := "ws://"
	if n.secure {
		scheme = "wss://"
	}
	header := http.Header{"Sec-Websocket-Protocol": {enc.Subprotocol()}}
	if n.token != "" {
		header.Set("Authorization", "Bearer "+n.token)
	}
	ws, resp, err := gws.NewClient(s, &gws.ClientOption{
		Addr:          scheme + n.addr + "/v1/stream",
		RequestHeader: header,
		TlsConfig:     &tls.Config{InsecureSkipVerify: true},
		NewDialer:     func() (gws.Dialer, error) { return n.dialer(), nil },
	})
	if err != nil {
		n.t.Fatal(err)
	}
	_ = resp.Body.Close() // empty: the connection is the subscriber's now
	s.ws = ws
	done := make(chan struct{})
	go func() {
		ws.ReadLoop()
		close(done)
	}()
	n.t.Cleanup(func() {
		_ = ws.NetConn().Close()
		<-done
	})
	s.await("hello", func() bool { return len(s.others) > 0 })
	return s
}

func (n *streamer) dialer() *net.Dialer {
	d := &net.Dialer{Timeout: patience}
	if n.from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(n.from)}
	}
	return d
}

// follow connects and subscribes.
func (n *streamer) follow(enc codec.Encoding, channels []market.Channel, symbols ...string) *subscriber {
	n.t.Helper()
	s := n.dial(enc)
	s.subscribe(channels, symbols...)
	return s
}

// subscribe asks for the streams and expects all of them.
func (s *subscriber) subscribe(channels []market.Channel, symbols ...string) {
	s.t.Helper()
	answer := s.ask(codec.Request{Op: codec.OpSubscribe, Channels: channels, Symbols: symbols})
	if ack, ok := answer.(codec.Ack); !ok || len(ack.Rejected) > 0 {
		s.t.Fatalf("subscribe to %v: %+v", symbols, answer)
	}
}

// ask sends a request and returns its answer.
func (s *subscriber) ask(req codec.Request) codec.Event {
	s.t.Helper()
	id := s.send(req)
	var answer codec.Event
	s.await("an answer", func() bool {
		i := slices.IndexFunc(s.others, func(ev codec.Event) bool {
			got := idOf(ev)
			return got != nil && *got == id
		})
		if i >= 0 {
			answer = s.others[i]
		}
		return i >= 0
	})
	return answer
}

func (s *subscriber) send(req codec.Request) (id int64) {
	s.t.Helper()
	s.mu.Lock()
	s.asked++
	id = s.asked
	s.mu.Unlock()
	req.ID = &id
	msg, err := codec.AppendRequest(nil, s.enc, &req)
	if err != nil {
		s.t.Fatal(err)
	}
	op := gws.OpcodeBinary
	if s.enc == codec.JSON {
		op = gws.OpcodeText
	}
	if err := s.ws.WriteMessage(op, msg); err != nil {
		s.t.Fatal(err)
	}
	return id
}

func idOf(ev codec.Event) *int64 {
	switch ev := ev.(type) {
	case codec.Ack:
		return ev.ID
	case codec.Error:
		return ev.ID
	case codec.Pong:
		return ev.ID
	}
	return nil
}

// await waits for a condition, which is asked under the lock.
func (s *subscriber) await(what string, ok func() bool) {
	s.t.Helper()
	await(s.t, what, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return ok()
	})
}

// OnClose notes how the connection ended.
func (s *subscriber) OnClose(_ *gws.Conn, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var closing *gws.CloseError
	if errors.As(err, &closing) {
		s.code = closing.Code
	}
}

// OnMessage enters a batch into the books.
func (s *subscriber) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	events, err := codec.DecodeBatch(s.enc, m.Bytes())
	s.mu.Lock()
	if err != nil {
		s.breach(err)
	}
	if want := map[codec.Encoding]gws.Opcode{codec.MsgPack: gws.OpcodeBinary, codec.JSON: gws.OpcodeText}[s.enc]; m.Opcode != want {
		s.breach(fmt.Errorf("a %s batch in a message of opcode %d", s.enc, m.Opcode))
	}
	for _, ev := range events {
		if err := s.enter(ev); err != nil {
			s.breach(err)
		}
	}
	if s.watch != nil {
		s.watch.see(events)
	}
	s.mu.Unlock()
	if s.halt != nil {
		<-s.halt
	}
}

func (s *subscriber) breach(err error) {
	if !s.broken { // what follows the first is its consequence
		s.t.Errorf("a %s subscriber: %v", s.enc, err)
	}
	s.broken = true
}

func (s *subscriber) enter(ev codec.Event) error {
	if len(s.others) > 0 {
		if bye, gone := s.others[len(s.others)-1].(codec.Bye); gone {
			return fmt.Errorf("%T after %+v", ev, bye)
		}
	}
	switch ev := ev.(type) {
	case codec.Heartbeat:
		return nil
	case codec.Hello:
		if len(s.others) > 0 {
			return errors.New("a second hello")
		}
	case codec.Snapshot:
		b := s.book(ev.Stream)
		if b.last != 0 || b.snapshot != nil {
			return fmt.Errorf("%v: snapshot behind seq %d", ev.Stream, b.last)
		}
		b.snapshot = ev.Event
		if ev.Event != nil {
			_, b.last = streamOf(ev.Event)
		}
		return nil
	case codec.Gap:
		b := s.book(ev.Stream)
		b.gaps = append(b.gaps, ev)
		return b.take(ev.Stream, ev.From, ev.To)
	case market.Trade, market.Quote, market.Bar:
		stream, seq := streamOf(ev)
		b := s.book(stream)
		b.ticks = append(b.ticks, ev)
		return b.take(stream, seq, seq)
	}
	if _, ok := ev.(codec.Hello); !ok && len(s.others) == 0 {
		return fmt.Errorf("%T before hello", ev)
	}
	s.others = append(s.others, ev)
	return nil
}

func (s *subscriber) book(of market.Stream) *book {
	b := s.books[of]
	if b == nil {
		b = new(book)
		s.books[of] = b
	}
	return b
}

func streamOf(ev codec.Event) (market.Stream, int64) {
	switch ev := ev.(type) {
	case market.Trade:
		return market.Stream{Channel: market.ChannelTrade, Symbol: ev.Symbol}, ev.Seq
	case market.Quote:
		return market.Stream{Channel: market.ChannelQuote, Symbol: ev.Symbol}, ev.Seq
	case market.Bar:
		return market.Stream{Channel: market.ChannelBar, Symbol: ev.Symbol}, ev.Seq
	}
	panic(fmt.Sprintf("%T is no tick", ev))
}

// gaps returns every gap so far.
func (s *subscriber) gaps() []codec.Gap {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []codec.Gap
	for _, b := range s.books {
		all = append(all, b.gaps...)
	}
	return all
}

// snapshots returns what each stream began with, nil for one without an event.
func (s *subscriber) snapshots() map[market.Stream]codec.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[market.Stream]codec.Event, len(s.books))
	for stream, b := range s.books {
		all[stream] = b.snapshot
	}
	return all
}

// awaitEach waits until every stream that the subscriber has meets a condition, and it has n.
func (s *subscriber) awaitEach(what string, n int, ok func(b *book) bool) {
	s.t.Helper()
	s.await(what, func() bool {
		if len(s.books) < n {
			return false
		}
		for _, b := range s.books {
			if !ok(b) {
				return false
			}
		}
		return true
	})
}

// mark returns how many live ticks each stream has had.
func (s *subscriber) mark() map[*book]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := make(map[*book]int, len(s.books))
	for _, b := range s.books {
		counts[b] = len(b.ticks)
	}
	return counts
}

// awaitMore waits until every stream has had a tick since the mark.
func (s *subscriber) awaitMore(what string, since map[*book]int) {
	s.t.Helper()
	s.awaitEach(what, len(since), func(b *book) bool { return len(b.ticks) > since[b] })
}

// flows waits until so many more ticks have come.
func (s *subscriber) flows(more int) {
	s.t.Helper()
	total := func() (n int) {
		for _, b := range s.books {
			n += len(b.ticks)
		}
		return n
	}
	s.mu.Lock()
	enough := total() + more
	s.mu.Unlock()
	s.await("live ticks", func() bool { return total() >= enough })
}

// reaches waits until every book that the truth names ends where the truth does.
func (s *subscriber) reaches(truth map[market.Stream]codec.Event) {
	s.t.Helper()
	s.await("every book to reach the last tick published", func() bool {
		for stream, b := range s.books {
			ev := truth[stream]
			if ev == nil {
				if b.last != 0 {
					return false
				}
				continue
			}
			if _, seq := streamOf(ev); b.last != seq {
				return false
			}
		}
		return true
	})
}
