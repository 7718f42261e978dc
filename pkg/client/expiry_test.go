package client

import (
	"context"
	"encoding/base64"
	"errors"
	"testing"
	"time"
)

func TestTheEndThatAJWTTellsOfItself(t *testing.T) {
	claims := func(json string) string { return "e30." + base64.RawURLEncoding.EncodeToString([]byte(json)) + ".sig" }
	for _, tt := range []struct {
		name, token string
		want        int64 // Unix ms; 0 = none
	}{
		{"exp", claims(`{"sub":"x","exp":1795234349}`), 1795234349_000},
		{"with a fraction", claims(`{"exp":1795234349.5}`), 1795234349_500},
		{"letters of another alphabet", claims(`{"sub":"??>>~~","exp":7}`), 7_000},
		{"no exp", claims(`{"sub":"x"}`), 0},
		{"an exp that is no number", claims(`{"exp":"soon"}`), 0},
		{"an exp beyond all calendars", claims(`{"exp":1e300}`), 0},
		{"an exp below zero", claims(`{"exp":-5}`), 0},
		{"no JSON", claims(`exp`), 0},
		{"no base64", "e30.{}.sig", 0},
		{"no JWT", "a secret", 0},
		{"nothing", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := expiryOf(tt.token)
			if got.IsZero() != (tt.want == 0) || tt.want != 0 && got.UnixMilli() != tt.want {
				t.Errorf("got %v, want %d", got, tt.want)
			}
		})
	}
}

func TestASourceThatTellsTheEndIsBelieved(t *testing.T) {
	const token = "e30.eyJleHAiOjd9.sig" // {"exp":7}
	own, broken := time.Unix(9, 0), errors.New("the issuer is away")
	for _, tt := range []struct {
		name  string
		given Token
		err   error
		want  time.Time
	}{
		{"by itself", Token{token, own}, nil, own},
		{"not at all", Token{Value: token}, nil, time.Unix(7, 0)},
		{"and fails", Token{Value: token}, broken, time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := TokenSource(func(context.Context) (Token, error) { return tt.given, tt.err }).dated(t.Context())
			if !errors.Is(err, tt.err) || !got.Expires.Equal(tt.want) {
				t.Errorf("got %v, %v", got.Expires, err)
			}
		})
	}
}

func FuzzExpiryOf(f *testing.F) {
	f.Add("e30.eyJleHAiOjd9.sig")
	f.Fuzz(func(t *testing.T, token string) {
		if got := expiryOf(token); !got.IsZero() && got.Before(time.Unix(0, 0)) {
			t.Errorf("%q ends at %v", token, got)
		}
	})
}
