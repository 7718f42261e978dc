package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tickcast/tickcast/pkg/market"
)

const (
	// lastPageMax is the server's own limit of subjects whose newest message it gives at once.
	lastPageMax = 1024
	// historyPageMax is large because the server counts all that is left before each page: 10,000
	// messages among 500,000 take nearly twice as long in pages of 1,024 (BenchmarkHistory).
	historyPageMax = 8192
	// pageBytesMax ends a page early. The server's own limit is as much as it lets wait for
	// one connection, so that a full page could get us thrown out as a slow consumer.
	pageBytesMax = 8 << 20
)

// directGet is the request that $JS.API.DIRECT.GET.<stream> takes: the newest message of each
// subject in LastOf, or else the messages of NextOf, from Seq or From on, Batch and MaxBytes
// at the most.
type directGet struct {
	LastOf   []string   `json:"multi_last,omitempty"`
	NextOf   string     `json:"next_by_subj,omitempty"`
	Batch    int        `json:"batch,omitempty"`
	MaxBytes int        `json:"max_bytes"`
	Seq      uint64     `json:"seq,omitempty"`
	From     *time.Time `json:"start_time,omitempty"`
}

// errStop ends a page early because the caller has enough.
var errStop = errors.New("bus: enough")

// Last calls yield with the newest stored message of each stream that has one, in no promised
// order. One that is published while Last runs may come twice, the newer later. body is the
// callee's to keep. Any number of streams may be asked for; 1,000 take some 6 ms
// (BenchmarkLast), a third of what single requests in a pipeline take. A server that stores
// nothing yields nothing. Errors: ErrDisconnected, ErrClosed, or that of ctx; yield may have
// been called before.
//
// Subscriptions made before the call are in effect when it asks, and no message falls between
// the two: what was published before them has been stored by then, which see fence.
func (b *Bus) Last(ctx context.Context, streams []market.Stream, yield func(s market.Stream, body []byte)) error {
	subjects := map[string][]string{}
	for _, s := range streams {
		store := storeOf(s.Channel)
		subjects[store] = append(subjects[store], Subject(s))
	}
	for _, store := range []string{tradesStream, lastStream} {
		if len(subjects[store]) == 0 {
			continue
		}
		err := b.fence(ctx, store)
		if err == nil {
			err = b.lastOf(ctx, store, subjects[store], func(subject string, body []byte) error {
				s, err := ParseSubject(subject)
				if err == nil {
					yield(s, body)
				}
				return err
			})
		}
		if errors.Is(err, ErrNoStore) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("last values of %d streams: %w", len(streams), err)
		}
	}
	return nil
}

// fence waits until the store has everything that was published before the subscriptions made
// so far took effect. The server passes a message on to subscribers at once, and stores it a
// moment later, in the order of arrival: a message of our own, behind the subscriptions on the
// same connection, is stored behind all of those, and its acknowledgement says so. (With
// Replicas above 1 a follower that answers may still lag.) A store that an operator has made
// without room for fences is asked as it is.
func (b *Bus) fence(ctx context.Context, store string) error {
	l, err := b.storeLink()
	if err != nil {
		return err
	}
	ctx, cancel := l.bound(ctx)
	defer cancel()
	_, err = b.js.Publish(ctx, fenceSubject(store), nil, jetstream.WithRetryAttempts(0))
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return nil
	case err != nil:
		return b.endOf(l, err)
	}
	return nil
}

// Symbols returns the directory as it is stored now. Errors are those of Last.
func (b *Bus) Symbols(ctx context.Context) (map[string][]market.Channel, error) {
	directory, err := b.symbols(ctx)
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	return directory, nil
}

// symbols asks for the names first and then for their values. A consumer on dir.> would give
// both at once, but has to step over every sequence of the quotes and bars in between.
func (b *Bus) symbols(ctx context.Context) (map[string][]market.Channel, error) {
	if err := b.fence(ctx, lastStream); err != nil {
		return nil, err
	}
	subjects, err := b.directorySubjects(ctx)
	if err != nil {
		return nil, err
	}
	directory := make(map[string][]market.Channel, len(subjects))
	err = b.lastOf(ctx, lastStream, subjects, func(subject string, body []byte) error {
		// Whoever else writes to dir.> is not ours to judge: a name that no feed of ours
		// could have announced is left out.
		if symbol, err := parseDirectorySubject(subject); err == nil {
			directory[symbol] = splitChannels(string(body))
		}
		return nil
	})
	return directory, err
}

func (b *Bus) directorySubjects(ctx context.Context) ([]string, error) {
	l, err := b.storeLink()
	if err != nil {
		return nil, err
	}
	ctx, cancel := l.bound(ctx)
	defer cancel()
	stream, err := b.js.Stream(ctx, lastStream)
	if err != nil {
		return nil, b.endOf(l, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(allDirectory))
	if err != nil {
		return nil, b.endOf(l, err)
	}
	return slices.Collect(maps.Keys(info.State.Subjects)), nil
}

// History calls yield with the stored messages of s in the order of publishing, from the first
// that was stored at or after since by the server's clock (the zero time: from the oldest there
// is), until yield returns false. body is the callee's to keep. Of quotes and bars only the newest is stored.
// A message may repeat records of one before it, when a feed published them again after a
// reconnect. Errors are those of Last.
func (b *Bus) History(ctx context.Context, s market.Stream, since time.Time, yield func(body []byte) bool) error {
	req := directGet{NextOf: Subject(s), Batch: historyPageMax, MaxBytes: pageBytesMax, Seq: 1}
	if !since.IsZero() {
		req.Seq, req.From = 0, &since
	}
	for {
		next, err := b.page(ctx, storeOf(s.Channel), req, func(_ string, body []byte) error {
			if !yield(body) {
				return errStop
			}
			return nil
		})
		if errors.Is(err, errStop) || err == nil && next == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("history of %s: %w", s, err)
		}
		req.Seq, req.From = next, nil
	}
}

func (b *Bus) lastOf(ctx context.Context, store string, subjects []string, yield func(subject string, body []byte) error) error {
	for chunk := range slices.Chunk(subjects, lastPageMax) {
		req := directGet{LastOf: chunk, MaxBytes: pageBytesMax}
		for {
			next, err := b.page(ctx, store, req, yield)
			if err != nil {
				return err
			}
			if next == 0 {
				break
			}
			req.Seq = next
		}
	}
	return nil
}

// page makes one request and hands on its answers. next is the sequence from which to ask for
// the rest, 0 when there is none.
func (b *Bus) page(ctx context.Context, store string, req directGet, yield func(subject string, body []byte) error) (next uint64, err error) {
	l, err := b.storeLink()
	if err != nil {
		return 0, err
	}
	query, err := json.Marshal(req)
	if err != nil {
		return 0, err
	}
	ctx, cancel := l.bound(ctx)
	defer cancel()
	inbox := b.nc.NewInbox()
	answers := make(chan *nats.Msg, max(req.Batch, len(req.LastOf))+1) // a whole page and its end: nothing is dropped
	sub, err := b.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return 0, b.translate(err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is gone with it
	if err := b.nc.PublishRequest("$JS.API.DIRECT.GET."+store, inbox, query); err != nil {
		return 0, b.translate(err)
	}
	for {
		select {
		case m := <-answers:
			last, next, err := answer(m, store, yield)
			if last || err != nil {
				return next, err
			}
		case <-ctx.Done():
			return 0, b.endOf(l, ctx.Err())
		}
	}
}

// answer handles one message of a page; last says that the page ends with it.
func answer(m *nats.Msg, store string, yield func(subject string, body []byte) error) (last bool, next uint64, err error) {
	switch status := m.Header.Get("Status"); status {
	case "":
		return false, 0, yield(m.Header.Get(jetstream.SubjectHeader), m.Data)
	case "204":
		if m.Header.Get("Nats-Num-Pending") == "0" {
			return true, 0, nil
		}
		through, err := strconv.ParseUint(m.Header.Get("Nats-Last-Sequence"), 10, 64)
		if err != nil {
			return true, 0, fmt.Errorf("%s: bad end of page: %w", store, err)
		}
		return true, through + 1, nil
	case "404":
		return true, 0, nil
	case "503":
		return true, 0, ErrNoStore
	default:
		return true, 0, fmt.Errorf("%s: direct get refused: %s %s", store, status, m.Header.Get("Description"))
	}
}
