package client

import (
	"context"
	"crypto/tls"
	"time"
)

// An Option changes how a client connects. The defaults are meant to be left alone.
type Option func(*options)

type options struct {
	source      TokenSource
	tls         *tls.Config
	compression bool
	backlog     int
	pauseFirst  time.Duration
	pauseMost   time.Duration
	onState     func(StateChange)
}

const (
	defaultBacklog    = 16_384
	defaultPauseFirst = 500 * time.Millisecond
	defaultPauseMost  = 30 * time.Second
)

func newOptions(opts []Option) options {
	o := options{backlog: defaultBacklog, pauseFirst: defaultPauseFirst, pauseMost: defaultPauseMost, onState: func(StateChange) {}}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// Token is a credential for a node.
type Token struct {
	Value string
	// Expires is when the token ends; the client renews it before. The zero time stands for
	// what a JWT says of itself, and for any other token, that it is renewed only when the
	// node refuses it.
	Expires time.Time
}

// A TokenSource returns the token to use now. It is asked before every attempt to connect
// and when a token nears its end, so it should keep a token while that is good. ctx ends
// with the attempt. On an error the client tries again later; in Dial the error is returned.
type TokenSource func(ctx context.Context) (Token, error)

// WithToken gives a token that does not change.
func WithToken(token string) Option {
	return func(o *options) {
		o.source = func(context.Context) (Token, error) { return Token{Value: token}, nil }
	}
}

// WithTokenSource gives tokens that end. They go into the Authorization header of the
// upgrade request, and while connected into auth requests; never into the URL.
func WithTokenSource(source TokenSource) Option {
	return func(o *options) { o.source = source.dated }
}

// WithTLSConfig is for wss:// with roots or client certificates of one's own. The client
// keeps a copy.
func WithTLSConfig(config *tls.Config) Option {
	return func(o *options) { o.tls = config.Clone() }
}

// WithCompression asks for permessage-deflate: fewer bytes on a slow line for more work on
// both ends. Without it the client asks for none.
func WithCompression() Option { return func(o *options) { o.compression = true } }

// WithBacklog sets how many events may wait for the program before the client stops reading;
// 16,384 by default. One batch of the node's, at most 256 KiB, may come on top.
func WithBacklog(events int) Option { return func(o *options) { o.backlog = max(1, events) } }

// WithBackoff sets the ceiling of the pause after a first failure, and the one up to which
// it doubles with each further failure; 500 ms and 30 s by default. The pause itself is
// random between 0 and the ceiling, plus what the node asked for.
func WithBackoff(first, most time.Duration) Option {
	return func(o *options) {
		o.pauseFirst = max(time.Millisecond, first)
		o.pauseMost = max(o.pauseFirst, most)
	}
}

// WithStateFunc has f called at every [StateChange], in order, for logs and status lights.
// The client waits for f, which must not call the client's methods.
func WithStateFunc(f func(StateChange)) Option { return func(o *options) { o.onState = f } }

// State is how a client stands to its node.
type State uint8

// The states. A client that could not connect in Dial has had none of them.
const (
	StateConnected    State = iota + 1 // greeted, authenticated, subscriptions asked for again
	StateReconnecting                  // the link broke; the next attempt is after a pause
	StateClosed                        // Close was called, or the client gave up
)

// String returns "connected", "reconnecting" or "closed".
func (s State) String() string {
	return map[State]string{StateConnected: "connected", StateReconnecting: "reconnecting", StateClosed: "closed"}[s]
}

// StateChange tells where a client has come to.
type StateChange struct {
	State State

	// connected: what the node calls this connection and itself.
	Session, Node string

	// reconnecting and closed
	Err error // why the link is gone; ErrClosed after Close

	// reconnecting
	Pause time.Duration // before the next attempt
}
