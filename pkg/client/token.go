package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
	"time"
)

// dated is the source with the end that a JWT tells of itself, where the source tells none.
func (source TokenSource) dated(ctx context.Context) (Token, error) {
	token, err := source(ctx)
	if err == nil && token.Expires.IsZero() {
		token.Expires = expiryOf(token.Value)
	}
	return token, err
}

// expiryOf reads the exp claim of a JWT; the zero time where there is none. Nothing is verified:
// that is the node's affair.
func expiryOf(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Exp float64 `json:"exp"` // a NumericDate may have a fraction
	}
	if json.Unmarshal(payload, &claims) != nil || !(claims.Exp > 0 && claims.Exp < 1<<40) {
		return time.Time{}
	}
	seconds, fraction := math.Modf(claims.Exp)
	return time.Unix(int64(seconds), int64(fraction*1e9))
}
