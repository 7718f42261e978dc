// Package wire is the little of RFC 6455 and of MessagePack that measuring takes: both sides
// of the opening handshake, frames as a client reads and writes them, and a walk through a
// batch that counts events and decodes none.
//
// It trusts the server more than package codec does: bytes are never read beyond their end,
// but a symbol or a number is not looked at. The load generator must cost less than what it
// measures, and a checked walk (codec.NextTick) costs five times as much a tick
// (BenchmarkCount).
package wire
