// Package auth says who may have what: it checks tokens (JWT) and turns each into a [Grant],
// which a node asks for every symbol and channel.
//
// A [Verifier] may be used by any goroutine. It holds the keys and the deny list in memory and
// swaps them whole when their file or URL has news, so that a check waits for nothing but, at
// most, a key that it has not seen yet. Tokens are never logged, nor part of an error.
//
// An algorithm is bound to the kind of key that it is made for, and a key never serves another:
// HS256 to a secret, RS256 to an RSA key, ES256 to one on P-256, EdDSA to Ed25519.
package auth
