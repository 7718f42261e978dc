package client

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tickcast/tickcast/pkg/codec"
)

// What [errors.Is] tells apart. Most come inside an *[Error], which has the node's own words.
var (
	// ErrClosed reports that Close was called.
	ErrClosed = errors.New("client: closed")
	// ErrUnauthenticated reports a token that is missing, refused or at its end.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrForbidden reports what the token does not allow.
	ErrForbidden = errors.New("not allowed")
	// ErrUnknownSymbol reports a symbol that no feed has announced.
	ErrUnknownSymbol = errors.New("unknown symbol")
	// ErrTooManySymbols reports symbols beyond the number that one connection may name.
	ErrTooManySymbols = errors.New("too many symbols")
	// ErrTooMany reports too many requests or connections.
	ErrTooMany = errors.New("too many requests or connections")
	// ErrBadRequest reports a request that the node cannot read or does not allow.
	ErrBadRequest = errors.New("bad request")
	// ErrSlowConsumer reports a connection that was cut because this program did not keep up.
	ErrSlowConsumer = errors.New("slow consumer")
	// ErrUnavailable reports a node that restarts, drains or is full.
	ErrUnavailable = errors.New("node unavailable")
	// ErrNoUpstream reports a node that has no market data yet.
	ErrNoUpstream = errors.New("no upstream data")
	// ErrServerFault reports a fault inside the node.
	ErrServerFault = errors.New("fault of the server")
	// ErrSilent reports a link on which nothing came for twice the heartbeat, or no greeting.
	ErrSilent = errors.New("client: the link is silent")
	// ErrProtocol reports a peer that does not speak tickcast's protocol.
	ErrProtocol = errors.New("client: not the tickcast protocol")
)

// Error is a node's refusal.
type Error struct {
	// Code is one of the protocol's, a WebSocket close code, or below 1000 an HTTP status.
	Code    int
	Message string
	// RetryAfter is how long the node asked to be left alone; 0 if it did not.
	RetryAfter time.Duration
}

// kinds maps codes to what errors.Is finds in an Error.
var kinds = map[int]error{
	int(codec.CodeBadRequest):      ErrBadRequest,
	int(codec.CodeUnauthenticated): ErrUnauthenticated,
	int(codec.CodeForbidden):       ErrForbidden,
	int(codec.CodeUnknownSymbol):   ErrUnknownSymbol,
	int(codec.CodeSlowConsumer):    ErrSlowConsumer,
	int(codec.CodeTooManySymbols):  ErrTooManySymbols,
	int(codec.CodeTooMany):         ErrTooMany,
	int(codec.CodeServerFault):     ErrServerFault,
	int(codec.CodeNoUpstream):      ErrNoUpstream,
	closeRestart:                   ErrUnavailable,
	closeOverload:                  ErrUnavailable,
	closeProtocol:                  ErrProtocol,
	http.StatusBadRequest:          ErrBadRequest,
	http.StatusUnauthorized:        ErrUnauthenticated,
	http.StatusForbidden:           ErrForbidden,
	http.StatusNotFound:            ErrProtocol,
	http.StatusUpgradeRequired:     ErrProtocol,
	http.StatusTooManyRequests:     ErrTooMany,
	http.StatusServiceUnavailable:  ErrUnavailable,
}

// Close codes of RFC 6455 and its registry.
const (
	closeNormal   = 1000
	closeProtocol = 1002
	closeRestart  = 1012
	closeOverload = 1013
)

func (e *Error) Error() string {
	said := e.Message
	if kind := e.Unwrap(); kind != nil && said == "" {
		said = kind.Error()
	}
	return fmt.Sprintf("client: %s (%d)", strings.TrimSuffix(said, "\n"), e.Code)
}

// Unwrap returns the Err variable for the code, nil if there is none.
func (e *Error) Unwrap() error { return kinds[e.Code] }

// RejectedError names the symbols that a [Client.Subscribe] did not get, each with the
// reason; [errors.Is] finds every reason that occurs. The other symbols are subscribed.
type RejectedError struct {
	Symbols map[string]*Error
}

// namesShown bounds how many symbols the text of a RejectedError names.
const namesShown = 5

func (e *RejectedError) Error() string {
	var b strings.Builder
	b.WriteString("client: rejected:")
	for i, symbol := range slices.Sorted(maps.Keys(e.Symbols)) {
		if i == namesShown {
			fmt.Fprintf(&b, " and %d more", len(e.Symbols)-i)
			break
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %s (%s)", symbol, e.Symbols[symbol].Message)
	}
	return b.String()
}

// Unwrap returns one error for each reason that occurs.
func (e *RejectedError) Unwrap() []error {
	byCode := make(map[int]error)
	for _, err := range e.Symbols {
		byCode[err.Code] = err
	}
	return slices.Collect(maps.Values(byCode))
}

// codeError makes the error of a code that came without words.
func codeError(code codec.Code) *Error {
	e := &Error{Code: int(code)}
	if kind := e.Unwrap(); kind != nil {
		e.Message = kind.Error()
	} else {
		e.Message = "refused"
	}
	return e
}
