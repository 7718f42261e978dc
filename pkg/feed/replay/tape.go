package replay

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"

	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/market"
)

// badLogged is how many bad lines of a file are logged one by one.
const badLogged = 10

// An instrument is one symbol as it is published.
type instrument struct {
	symbol    string
	wanted    bool
	announced [market.Channels]bool
	lastID    [market.Channels]int64 // the venue's number last played in this pass
}

// repeats says whether the event was played before, from another file: a venue's numbers
// only rise. It must be asked in the order of play, or what one file lacks is lost.
func (in *instrument) repeats(ev *event) bool {
	if ev.id == 0 {
		return false
	}
	last := &in.lastID[ev.channel]
	if ev.id <= *last {
		return true
	}
	*last = ev.id
	return false
}

// A tape is a file while it is played: at its next event.
type tape struct {
	*file
	order int // among the files; decides between equal keys
	key   int64
	ev    event
	in    *instrument

	lines *lines // nil until the first event is due
	bad   int64
	seen  map[string]*instrument // by venue and symbol as they are in the lines
}

// A merge holds the tapes that are not at their end, the earliest event on top. Files are
// opened when their first event is due: years of daily files need not be open together.
type merge []*tape

func (m merge) Len() int      { return len(m) }
func (m merge) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m merge) Less(i, j int) bool {
	if m[i].key != m[j].key {
		return m[i].key < m[j].key
	}
	return m[i].order < m[j].order
}
func (m *merge) Push(t any) { *m = append(*m, t.(*tape)) }
func (m *merge) Pop() any {
	old := *m
	t := old[len(old)-1]
	*m = old[:len(old)-1]
	return t
}

func newMerge(files []*file) merge {
	m := make(merge, len(files))
	for i, f := range files {
		m[i] = &tape{file: f, order: i, key: f.first}
	}
	heap.Init(&m)
	return m
}

// next returns the tape with the earliest event, or nil at the end of all.
func (m *merge) next(ctx context.Context, s *Source) *tape {
	for len(*m) > 0 {
		t := (*m)[0]
		if t.lines != nil {
			return t
		}
		if err := t.open(); err != nil {
			s.damaged(t, err)
			heap.Pop(m)
			continue
		}
		m.advance(ctx, s)
	}
	return nil
}

// advance moves the tape on top to its next event.
func (m *merge) advance(ctx context.Context, s *Source) {
	if (*m)[0].advance(ctx, s) {
		heap.Fix(m, 0)
	} else {
		heap.Pop(m)
	}
}

func (m merge) close() {
	for _, t := range m {
		t.close()
	}
}

func (t *tape) open() (err error) {
	t.seen = make(map[string]*instrument)
	t.lines, err = openLines(t.path, t.entry)
	return err
}

func (t *tape) close() {
	if t.lines != nil {
		t.lines.close()
	}
}

// advance reads up to the next event that is to be played; false at the end of the file.
func (t *tape) advance(ctx context.Context, s *Source) bool {
	for {
		if t.lines.number%4096 == 0 && ctx.Err() != nil {
			t.close()
			return false
		}
		line, err := t.lines.next()
		if err != nil && !errors.Is(err, errLong) {
			t.end(s, err)
			return false
		}
		if err == nil {
			if len(line) == 0 || t.format.header != "" && string(line) == t.format.header {
				continue
			}
			err = t.read(s, line)
		}
		switch {
		case errors.Is(err, errSkip):
			s.skipped.Add(1)
		case err != nil:
			s.badLine(t, err)
		default:
			return true
		}
	}
}

// read makes the line the tape's event.
func (t *tape) read(s *Source, line []byte) error {
	ev := &t.ev
	if err := t.format.parse(line, ev); err != nil {
		return err
	}
	in, err := t.instrument(s, ev)
	if err != nil {
		return err
	}
	if !in.wanted {
		return errSkip
	}
	ev.setTime(ev.time() + t.midnight)
	t.key = ev.key + t.midnight
	t.in = in
	return nil
}

func (t *tape) instrument(s *Source, ev *event) (*instrument, error) {
	var buf [128]byte
	key := append(append(append(buf[:0], ev.venue...), 0), ev.symbol...)
	if in := t.seen[string(key)]; in != nil {
		return in, nil
	}
	in, err := s.instrument(t.nameOf(ev))
	if err == nil {
		t.seen[string(key)] = in
	}
	return in, err
}

func (t *tape) end(s *Source, err error) {
	if !errors.Is(err, io.EOF) {
		s.damaged(t, err)
	}
	if t.bad > badLogged {
		s.log.Warn("more bad lines", zap.Stringer("file", t), zap.Int64("total", t.bad))
	}
	s.bytes += t.size
	t.close()
}

// progress is how much of the file has been read, as stored.
func (t *tape) progress() int64 {
	if t.lines == nil {
		return 0
	}
	return min(t.lines.file.n, t.size)
}

func (s *Source) badLine(t *tape, err error) {
	s.bad.Add(1)
	if t.bad++; t.bad <= badLogged {
		s.log.Warn("bad line", zap.String("at", fmt.Sprintf("%s:%d", t, t.lines.number)), zap.Error(err))
	}
}

// damaged reports a file that cannot be read to its end.
func (s *Source) damaged(t *tape, err error) {
	s.damagedFiles.Add(1)
	at := t.String()
	if t.lines != nil {
		at = fmt.Sprintf("%s:%d", t, t.lines.number)
	}
	s.log.Warn("damaged file, the rest of it is left out", zap.String("at", at), zap.Error(err))
}
