package stream

import (
	"slices"

	"github.com/klauspost/compress/flate"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/eventloop"
)

const (
	// headroom is what a frame header takes at the most, in front of a batch.
	headroom = eventloop.FrameHeaderMax
	// batchBytesMax is where a batch ends, far below what the protocol allows: a larger one
	// saves nothing, and what a slow wire does not take of it is copied.
	batchBytesMax = 64 << 10
)

// A message is one batch on its way to a session, or to several that get the same.
type message struct {
	buf    []byte // headroom, then the batch
	events int
	gaps   codec.GapCounts // of them
	text   bool

	// What a framer makes of it, once for all sessions; empty before.
	plain  []byte // the frame, in buf
	packed []byte // headroom, then the batch compressed
	zipped []byte // the frame of that, in packed
}

// fill takes the next batch off the queue.
func (m *message) fill(q *backpressure.Queue, enc codec.Encoding) {
	b := m.begin(enc)
	q.Fill(&b, batchBytesMax)
	m.end(&b, enc)
}

// fillWith makes the batch of chunks that fit.
func (m *message) fillWith(chunks []*codec.Chunk, enc codec.Encoding) {
	b := m.begin(enc)
	for _, c := range chunks {
		b.Add(c.In(enc), c.N)
	}
	m.end(&b, enc)
}

func (m *message) begin(enc codec.Encoding) (b codec.Batch) {
	if m.buf == nil {
		m.buf = make([]byte, headroom, headroom+4<<10)
	}
	b.Reset(enc, m.buf[headroom:headroom])
	return b
}

func (m *message) end(b *codec.Batch, enc codec.Encoding) {
	m.events, m.gaps, m.text, m.plain, m.zipped = b.Len(), b.Gaps(), enc == codec.JSON, nil, nil
	batch := b.Bytes()
	if len(batch) > cap(m.buf)-headroom {
		m.buf = append(make([]byte, headroom, headroom+len(batch)+len(batch)/4), batch...)
	}
	m.buf = m.buf[:headroom+len(batch)]
}

// batch is the message without a frame.
func (m *message) batch() []byte { return m.buf[headroom:] }

// deflateMin is the size from which a message is worth compressing.
const deflateMin = 512

// A framer makes WebSocket frames of messages, in their own storage.
type framer struct{ deflater *flate.Writer }

// frame returns the message as a frame, compressed if the session wants that and it pays.
// Without context takeover a compressed batch is the same for all sessions too.
func (f *framer) frame(m *message, deflate bool) []byte {
	if !deflate || len(m.batch()) < deflateMin {
		if m.plain == nil {
			m.plain = withHeader(m.buf, m.text, false)
		}
		return m.plain
	}
	if m.zipped == nil {
		m.packed = f.deflate(append(m.packed[:0], m.buf[:headroom]...), m.batch())
		m.zipped = withHeader(m.packed, m.text, true)
	}
	return m.zipped
}

// deflate appends p compressed to dst (RFC 7692, section 7.2.1: the last four bytes of the
// flush are left out).
func (f *framer) deflate(dst, p []byte) []byte {
	out := appender{dst}
	if f.deflater == nil {
		f.deflater, _ = flate.NewWriter(&out, flate.BestSpeed) // fails for unknown levels only
	} else {
		f.deflater.Reset(&out)
	}
	_, _ = f.deflater.Write(p) // appender does not fail
	_ = f.deflater.Flush()
	return out.b[:len(out.b)-4]
}

type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

// withHeader writes the header of a frame into b's headroom, in front of the payload that
// follows it.
func withHeader(b []byte, text, compressed bool) []byte {
	op := eventloop.OpBinary
	if text {
		op = eventloop.OpText
	}
	var head [headroom]byte
	h := eventloop.AppendFrameHeader(head[:0], op, len(b)-headroom, compressed)
	frame := b[headroom-len(h):]
	copy(frame, h)
	return frame
}

// A kind is all the sessions of a shard with the same subscriptions and encoding: most
// dashboards show the same few watchlists. Those that have no backlog get the same ticks in
// the same order, and so they get one message.
type kind struct {
	key      uint64
	sessions int
	shared   *shared // nil while it has no second session
}

// shared is the message that a kind was sent last.
type shared struct {
	flush   uint64         // in which it was made
	chunks  []*codec.Chunk // that it was made of
	message message
}

// next takes the session's next batch off its queue.
func (sh *shard) next(s *session) *message {
	if sh.kindOf(s).sessions > 1 {
		chunks, ok := s.queue.Chunks(sh.chunks[:0], batchBytesMax/2) // with room for commas
		sh.chunks = chunks
		if ok {
			m, made := sh.messageOf(s, chunks)
			if made {
				s.queue.Clear()
			} else {
				m.fill(&s.queue, s.enc)
			}
			return m
		}
	}
	sh.message.fill(&s.queue, s.enc)
	return &sh.message
}

// messageOf is where the session's batch of these chunks is, or is to be made. Where a session
// of its kind was sent the very same in this flush, that message serves again.
func (sh *shard) messageOf(s *session, chunks []*codec.Chunk) (m *message, made bool) {
	k := sh.kindOf(s)
	if k.sessions == 1 {
		return &sh.message, false
	}
	if k.shared == nil {
		k.shared = new(shared)
	}
	last := k.shared
	switch {
	case last.flush == sh.flushes && slices.Equal(last.chunks, chunks):
		return &last.message, true
	case last.flush == sh.flushes:
		return &sh.message, false
	}
	last.flush, last.chunks = sh.flushes, append(last.chunks[:0], chunks...)
	return &last.message, false
}

// kindOf finds the session's kind, which changes with its subscriptions.
func (sh *shard) kindOf(s *session) *kind {
	key := s.set.Fingerprint() + uint64(s.enc)
	if s.kind != nil && s.kind.key == key {
		return s.kind
	}
	sh.leaveKind(s)
	k := sh.kinds[key]
	if k == nil {
		k = &kind{key: key}
		sh.kinds[key] = k
	}
	k.sessions++
	s.kind = k
	return k
}

func (sh *shard) leaveKind(s *session) {
	if k := s.kind; k != nil {
		s.kind = nil
		if k.sessions--; k.sessions == 0 {
			delete(sh.kinds, k.key)
		}
	}
}
