package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/tickcast/tickcast/pkg/market"
)

// batchMax bounds one call of Handler.Messages.
const batchMax = 512

// Message is one message as it came. Data is the receiver's to keep.
type Message struct {
	Subject string
	Data    []byte
	Header  map[string][]string // of PublishWith; mostly nil
}

// Handler says where Run delivers. All three are required, and called on Run's goroutine, one
// at a time.
type Handler struct {
	// Messages gets all that waits, up to 512, in the order of arrival over all
	// subscriptions. The slice is reused after the return.
	Messages func([]Message)
	// Announced gets the entries of the directory: those stored, and each as it is
	// announced. The same entry may come again.
	Announced func(symbol string, channels []market.Channel)
	// Lost says that messages are missing, of which streams is unknown: each must be
	// compared with Last. Subscriptions are in effect then.
	Lost func(reason string)
}

// Subscribe asks for the messages of s. It takes effect at the next Sync or reconnect at the
// latest; subscribing again changes nothing. Errors: ErrClosed, market.ErrSymbol.
func (b *Bus) Subscribe(s market.Stream) error {
	if err := market.CheckSymbol(s.Symbol); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return b.subscribe(Subject(s))
}

// Unsubscribe ends that. Messages that wait for Run are delivered all the same.
func (b *Bus) Unsubscribe(s market.Stream) { b.unsubscribe(Subject(s)) }

// SubscribeAll asks for the messages of every symbol's ch. A stream that is subscribed by
// itself too is then delivered twice.
func (b *Bus) SubscribeAll(ch market.Channel) error { return b.subscribe(channelSubject(ch)) }

// UnsubscribeAll ends SubscribeAll, and leaves what Subscribe asked for.
func (b *Bus) UnsubscribeAll(ch market.Channel) { b.unsubscribe(channelSubject(ch)) }

func (b *Bus) subscribe(subject string) error {
	b.subsMu.Lock()
	defer b.subsMu.Unlock()
	if b.subs[subject] != nil {
		return nil
	}
	sub, err := b.nc.ChanSubscribe(subject, b.queue)
	if err != nil {
		return fmt.Errorf("subscribe %s: %w", subject, b.translate(err))
	}
	b.subs[subject] = sub
	return nil
}

func (b *Bus) unsubscribe(subject string) {
	b.subsMu.Lock()
	defer b.subsMu.Unlock()
	sub := b.subs[subject]
	if sub == nil {
		return
	}
	delete(b.subs, subject)
	if n, err := sub.Dropped(); err == nil {
		b.droppedPast += uint64(n)
	}
	_ = sub.Unsubscribe() // fails only when the connection is closed, and the subscription with it
}

// dropped walks all subscriptions: not for every message.
func (b *Bus) dropped() uint64 {
	b.subsMu.Lock()
	defer b.subsMu.Unlock()
	total := b.droppedPast
	for _, sub := range b.subs {
		if n, err := sub.Dropped(); err == nil {
			total += uint64(n)
		}
	}
	return total
}

func (b *Bus) reportLost(reason string) {
	select {
	case b.lost <- reason:
	default: // one report already waits, and stands for this one too
	}
}

// errRunning says that two would share one Bus's messages, each missing what the other got.
var errRunning = errors.New("bus: Run is under way already: every reader needs a Bus of its own")

// Run delivers to h until ctx ends, and then returns nil; ErrClosed when the Bus is closed.
// One at a time may run.
func (b *Bus) Run(ctx context.Context, h Handler) error {
	if !b.running.CompareAndSwap(false, true) {
		return errRunning
	}
	defer b.running.Store(false)
	r := &reader{
		Handler: h,
		bus:     b,
		batch:   make([]Message, 0, min(batchMax, cap(b.queue)/2)),
		ask:     make(chan struct{}, 1),
		answer:  make(chan map[string][]market.Channel),
	}
	if err := b.subscribe(allDirectory); err != nil {
		return err
	}
	defer b.unsubscribe(allDirectory)

	ctx, cancel := context.WithCancel(ctx)
	readerDone := make(chan struct{})
	go func() {
		defer close(readerDone)
		r.readDirectory(ctx)
	}()
	defer func() { cancel(); <-readerDone }()

	r.askDirectory()
	b.readAgain() // what another Run has left
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.closing.Done():
			return ErrClosed
		case <-b.arrived:
			r.take()
		case directory := <-r.answer:
			r.stored(directory)
			b.know()
		case reason := <-b.lost:
			r.reportLost(reason)
		}
	}
}

// A reader is the state of one Run. Everything under "loop" is touched only by its goroutine.
type reader struct {
	Handler
	bus    *Bus
	ask    chan struct{} // loop -> readDirectory
	answer chan map[string][]market.Channel

	// loop
	batch   []Message
	crowded bool      // the queue may have been full since the drops were last counted
	dropped uint64    // when they were last counted
	counted time.Time // when that was

	asked     int             // answers still to come
	announced map[string]bool // live, since the oldest of those was asked for
}

// take delivers a batch of what waits.
func (r *reader) take() {
	queue := r.bus.queue
	for range min(len(queue), cap(r.batch)) {
		r.add(<-queue)
	}
	// nats.go drops only while the queue is full. Since the end of the last take at most one
	// batch was taken out, so a queue that was full in between is still this full now.
	if len(queue) >= cap(queue)-cap(r.batch) {
		r.crowded = true
	}
	r.deliver()
	r.bus.readAgain() // there may be more than one batch
	if r.crowded {
		r.countDrops()
	}
}

func (r *reader) add(m *nats.Msg) {
	if !strings.HasPrefix(m.Subject, directoryPrefix) {
		r.batch = append(r.batch, Message{Subject: m.Subject, Data: m.Data, Header: m.Header})
		return
	}
	r.deliver() // ticks that came before the announcement stay before it
	symbol, err := parseDirectorySubject(m.Subject)
	if err != nil {
		return // not by a feed of ours
	}
	if r.asked > 0 {
		r.announced[symbol] = true
	}
	r.Announced(symbol, splitChannels(string(m.Data)))
}

func (r *reader) deliver() {
	if len(r.batch) == 0 {
		return
	}
	r.Messages(r.batch)
	clear(r.batch) // an idle node holds on to no bodies
	r.batch = r.batch[:0]
}

// countDrops reports drops when the queue is empty again, since a report amid the drops would
// miss those that follow it; but a queue that never gets empty is reported every second.
func (r *reader) countDrops() {
	empty := len(r.bus.queue) == 0
	if !empty && time.Since(r.counted) < time.Second {
		return
	}
	r.crowded = !empty
	r.counted = time.Now()
	total := r.bus.dropped()
	if total == r.dropped {
		return
	}
	fresh := total - r.dropped
	r.dropped = total
	r.bus.log.Warn("messages dropped: this process reads too slowly", zap.Uint64("messages", fresh))
	r.reportLost(fmt.Sprintf("%d messages dropped", fresh))
}

func (r *reader) reportLost(reason string) {
	r.Lost(reason)
	r.askDirectory() // announcements may be among the lost
}

func (r *reader) askDirectory() {
	select {
	case r.ask <- struct{}{}:
		if r.asked == 0 {
			r.announced = map[string]bool{}
		}
		r.asked++
	default: // not even begun: the answer will be as new as we want it
	}
}

// stored delivers an answer of readDirectory, but for the symbols announced since it was asked
// for, of which it may know less than we do.
func (r *reader) stored(directory map[string][]market.Channel) {
	for symbol, channels := range directory {
		if !r.announced[symbol] {
			r.Announced(symbol, channels)
		}
	}
	r.asked--
	r.announced = map[string]bool{}
}

// Known is closed once Run has delivered the directory as it was stored, or found that nothing
// is. Before that a symbol that was not announced may be one that has yet to be.
func (b *Bus) Known() <-chan struct{} { return b.known }

// readDirectory answers each ask with the stored directory; an empty one where nothing is
// stored. It has a goroutine of its own because JetStream may take seconds and ticks do not wait.
func (r *reader) readDirectory(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.ask:
		}
		directory, err := r.bus.settledDirectory(ctx)
		for err != nil && !errors.Is(err, ErrNoStore) {
			if ctx.Err() == nil {
				r.bus.log.Warn("directory not read, trying again", zap.Error(err))
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
			directory, err = r.bus.settledDirectory(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case r.answer <- directory:
		}
	}
}

// settledDirectory reads the directory once there is a store. The subscription to its changes
// was made before, so no change falls between the two (see fence).
func (b *Bus) settledDirectory(ctx context.Context) (map[string][]market.Channel, error) {
	if err := b.Ready(ctx); err != nil {
		return nil, err
	}
	return b.Symbols(ctx)
}
