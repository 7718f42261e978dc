package client

import (
	"context"
	"sync"
)

// A backlog holds the events that came and were not taken. Its bound is the reader's: put
// takes a whole batch and then waits until there is room, so that the next one stays in the
// socket.
type backlog struct {
	most  int
	ready chan struct{} // holds a token when events may have come
	room  chan struct{} // holds a token when put may go on

	mu      sync.Mutex
	events  []Event
	head    int // events before it are gone
	hurried int // callers that wait for an answer, which stands behind what the bound holds off
}

func newBacklog(most int) *backlog {
	return &backlog{most: most, ready: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put returns when there is room for more, or ctx ends.
func (b *backlog) put(ctx context.Context, events []Event) {
	b.mu.Lock()
	if b.head > 0 && len(b.events)+len(events) > cap(b.events) {
		n := copy(b.events, b.events[b.head:])
		clear(b.events[n:])
		b.events, b.head = b.events[:n], 0
	}
	b.events = append(b.events, events...)
	b.mu.Unlock()
	if len(events) > 0 {
		signal(b.ready)
	}
	for !b.hasRoom() {
		select {
		case <-b.room:
		case <-ctx.Done():
			return
		}
	}
}

func (b *backlog) hasRoom() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.events)-b.head <= b.most || b.hurried > 0
}

// pop takes the oldest event. It passes the token of ready on if more are left, since
// several may wait for one.
func (b *backlog) pop() (ev Event, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.head == len(b.events) {
		return nil, false
	}
	ev = b.events[b.head]
	b.events[b.head] = nil
	b.head++
	if b.head < len(b.events) {
		signal(b.ready)
	} else {
		b.events, b.head = b.events[:0], 0
	}
	signal(b.room)
	return ev, true
}

// hurry lets put through for one more caller, or with -1 for one fewer.
func (b *backlog) hurry(by int) {
	b.mu.Lock()
	b.hurried += by
	b.mu.Unlock()
	signal(b.room)
}

func (b *backlog) empty() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events, b.head = nil, 0
}
