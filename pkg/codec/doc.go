// Package codec turns bytes into the vocabulary of package market and back: events and the
// batches they travel in, requests, and the ticks that a feed publishes. It alone knows
// MessagePack, and that the JSON form of a message is its MessagePack form, translated.
//
// Everything on a tick's path (Append*, [NextTick], [Chunk], [Batch], [AppendJSON]) is
// written by hand and works on bytes. [DecodeBatch] and [DecodeRequest], for clients and
// for what clients send, use a MessagePack library behind a bounded walk of our own, since
// bytes from outside may declare what they do not hold.
//
// The package keeps no state and starts no goroutine. Times are Unix nanoseconds.
package codec

import (
	"errors"

	"github.com/tickcast/tickcast/pkg/market"
)

// Encoding is one of the two forms of every message.
type Encoding uint8

// MsgPack is the form in which ticks are made and kept.
const (
	MsgPack Encoding = iota
	JSON
)

// String returns "msgpack" or "json".
func (e Encoding) String() string {
	if e == JSON {
		return "json"
	}
	return "msgpack"
}

// Subprotocol returns the WebSocket subprotocol that asks for e.
func (e Encoding) Subprotocol() string { return "tickcast.v1." + e.String() }

// Bounds on what is sent and taken.
const (
	// MaxBatchBytes bounds a batch before compression. Its sender enforces it: see [Batch].
	MaxBatchBytes = 256 << 10
	// MaxRequestBytes bounds a request, inflated. Its reader enforces it before it stores one.
	MaxRequestBytes = 64 << 10
	// MaxDepth is how many arrays and maps may lie inside one another, the outermost counted.
	MaxDepth = 32
	// MaxRecordBytes bounds a tick's record. In JSON a byte becomes at most six (a control
	// character), so any one tick fits a batch in either encoding.
	MaxRecordBytes = 16 << 10
	// MaxTradeIDBytes bounds a venue's trade id.
	MaxTradeIDBytes = 128
)

// Errors that callers may tell apart. [market.ErrSymbol] is another.
var (
	ErrNumber  = errors.New("codec: number is not finite")
	ErrSeq     = errors.New("codec: bad seq")
	ErrTradeID = errors.New("codec: bad trade id")
	// ErrMalformed reports bytes or values that are not of this protocol.
	ErrMalformed = errors.New("codec: malformed")
)

// Code says what is wrong, in err and bye events and as a WebSocket close code.
type Code int

// The codes of the protocol.
const (
	CodeBadRequest      Code = 4400
	CodeUnauthenticated Code = 4401 // or the token ran out
	CodeForbidden       Code = 4403 // symbol or origin
	CodeUnknownSymbol   Code = 4404
	CodeSlowConsumer    Code = 4408
	CodeTooManySymbols  Code = 4413
	CodeTooMany         Code = 4429 // requests or connections
	CodeServerFault     Code = 4500
	CodeNoUpstream      Code = 4503
)

// Reason says why a gap is there.
type Reason string

// The reasons of version 1.
const (
	ReasonSlow     Reason = "slow"     // the subscriber could not keep up
	ReasonUpstream Reason = "upstream" // lost before this node had it
	ReasonHistory  Reason = "history"  // older than what is kept
	ReasonReset    Reason = "reset"    // numbers that were never used
)

var reasons = [...]Reason{ReasonSlow, ReasonUpstream, ReasonHistory, ReasonReset}

// Reasons returns every reason, in the order of [GapCounts].
func Reasons() [len(reasons)]Reason { return reasons }

// GapCounts has a number for each reason.
type GapCounts [len(reasons)]int32

// symbolLegal agrees with market.CheckSymbol, without an error to build. Nearly every
// symbol is short ASCII, which the loop settles.
func symbolLegal[T string | []byte](s T) bool {
	if len(s) == 0 || len(s) > market.SymbolBytesMax || len(s) == 1 && s[0] == '*' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f {
			return c >= 0x80 && textLegal(s[i:])
		}
	}
	return true
}
