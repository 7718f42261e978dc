package auth

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func segment(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// signed is a token of these very claims, as a careless issuer might make them.
func signed(claims string) string {
	text := segment(`{"alg":"HS256"}`) + "." + segment(claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(must(jwt.SigningMethodHS256.Sign(text, testSecret)))
}

// jwkOf is the public part of the key as a JSON Web Key.
func jwkOf(k *rsa.PrivateKey) string {
	return fmt.Sprintf(`{"kty":"RSA","e":"AQAB","n":"%s"}`, base64.RawURLEncoding.EncodeToString(k.N.Bytes()))
}

// Whatever an attacker makes of a header, or gets an issuer to sign, a token is what its reader
// would say that it is, or it is nothing.
func TestForgedTokens(t *testing.T) {
	secretFile, rsaFile := write(t, "secret", testSecret), write(t, "rsa", publicPEM(rsaKey))
	other := must(rsa.GenerateKey(rand.Reader, 2048))
	now := time.Now().Unix()
	const to = `"iss":"https://issuer","aud":"ticks"`
	good := strings.Split(signed(`{`+to+`}`), ".")
	for _, tt := range []struct{ name, file, token, why string }{
		{"run out before 1970", secretFile, signed(`{` + to + `,"exp":-1}`), "run out"},
		{"run out by a part of a second", secretFile, signed(fmt.Sprintf(`{%s,"exp":%d.5}`, to, now)), "run out"},
		{"exp is a number in quotes", secretFile, signed(fmt.Sprintf(`{%s,"exp":"%d"}`, to, now+3600)), "cannot be read"},
		{"exp is null", secretFile, signed(`{` + to + `,"exp":null}`), "cannot be read"},
		{"exp is a list", secretFile, signed(`{` + to + `,"exp":[9999999999]}`), "cannot be read"},
		{"exp beyond all time", secretFile, signed(`{` + to + `,"exp":1e300}`), "cannot be read"},
		{"exp twice", secretFile, signed(`{` + to + `,"exp":1,"exp":9999999999}`), "cannot be read"},
		{"EXP beside exp", secretFile, signed(`{` + to + `,"exp":1,"EXP":9999999999}`), "run out"},
		{"nbf is a number in quotes", secretFile, signed(`{` + to + `,"nbf":"0"}`), "cannot be read"},
		{"the claim twice", secretFile, signed(`{` + to + `,"tickcast":{"symbols":[]},"tickcast":{}}`), "cannot be read"},
		{"a limit twice", secretFile, signed(`{` + to + `,"tickcast":{"symbols":[],"symbols":["*"]}}`), "twice"},
		{"claims that are a list", secretFile, signed(`[]`), "cannot be read"},
		{"more behind the claims", secretFile, signed(`{} {}`), "cannot be read"},
		{"claims nested without end", secretFile, signed(strings.Repeat("[", 5000)), "cannot be read"},
		{"sub is a number", secretFile, signed(`{` + to + `,"sub":7}`), "cannot be read"},
		{"an audience that is no text", secretFile, signed(`{"iss":"https://issuer","aud":["ticks",7]}`), "cannot be read"},
		{"a list of no audience", secretFile, signed(`{"iss":"https://issuer","aud":[]}`), "required"},
		{"audiences like ours", secretFile, signed(`{"iss":"https://issuer","aud":["tick","TICKS","ticks "]}`), "for others"},
		{"a key that it brings", rsaFile, sign(jwt.SigningMethodRS256, other, claimsWith(nil), "jwk", jwkOf(other)), "signature"},
		{"the place of a key", rsaFile, sign(jwt.SigningMethodRS256, other, claimsWith(nil), "jku", "http://127.0.0.1:1/keys"), "signature"},
		{"a file as kid", secretFile, sign(jwt.SigningMethodHS256, []byte{}, claimsWith(nil), "kid", "/dev/null"), "signature"},
		{"a query as kid", secretFile, sign(jwt.SigningMethodHS256, []byte("x"), claimsWith(nil), "kid", "' UNION SELECT 'x"), "signature"},
		{"the JSON Web Key as a secret", rsaFile, sign(jwt.SigningMethodHS256, []byte(jwkOf(rsaKey)), claimsWith(nil)), "unknown key"},
		{"an algorithm in a list", secretFile, segment(`{"alg":["HS256"]}`) + "." + good[1] + "." + good[2], "algorithm"},
		{"two algorithms", secretFile, segment(`{"alg":"HS256","alg":"none"}`) + "." + good[1] + ".", "signature"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(t, Config{KeyFile: tt.file, Issuer: "https://issuer", Audience: "ticks"})
			if g, err := v.Verify(t.Context(), tt.token); !errors.Is(err, ErrToken) || g != nil || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("got %v, %v, want %q", g, err, tt.why)
			}
		})
	}
}

// Names count as they are written: what looks like a claim of ours is none.
func TestClaimsInOtherLettersAreOthers(t *testing.T) {
	v := newVerifier(t, Config{KeyFile: write(t, "key", testSecret)})
	g, err := v.Verify(t.Context(), signed(`{"Tickcast":{},"SUB":"root"}`))
	if err != nil || g.Subject != "" || g.AllowsChannel(0) {
		t.Errorf("got %+v, %v", g, err)
	}
}

// A token that says nothing of its end has none, unless the operator wants one in each.
func TestTokenWithoutAnEnd(t *testing.T) {
	key := write(t, "key", testSecret)
	endless := sign(jwt.SigningMethodHS256, testSecret, claimsWith(jwt.MapClaims{"exp": nil}))
	g, err := newVerifier(t, Config{KeyFile: key}).Verify(t.Context(), endless)
	if err != nil || !g.Expires.IsZero() {
		t.Errorf("got %+v, %v", g, err)
	}
	if _, err := newVerifier(t, Config{KeyFile: key, RequireExpiry: true}).Verify(t.Context(), endless); !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), "required") {
		t.Errorf("where an end is required: %v", err)
	}
}

func FuzzToken(f *testing.F) {
	f.Add(`{"alg":"HS256"}`, `{"exp":9999999999,"tickcast":{"symbols":["A"]}}`)
	f.Add(`{"alg":"HS256","kid":7}`, `{"exp":1e15,"nbf":-1.5,"aud":["a"],"sub":"\ud800"}`)
	f.Add(`{"alg":"none"}`, `{"exp":{},"exp":[]}`)
	v := newVerifier(f, Config{KeyFile: write(f, "key", testSecret)})
	f.Fuzz(func(t *testing.T, header, claims string) {
		text := segment(header) + "." + segment(claims)
		token := text + "." + base64.RawURLEncoding.EncodeToString(must(jwt.SigningMethodHS256.Sign(text, testSecret)))
		g, err := v.Verify(t.Context(), token)
		switch {
		case (g == nil) != (err != nil):
			t.Errorf("got %v, %v", g, err)
		case err == nil && !g.Expires.IsZero() && !g.Expires.After(time.Now()):
			t.Errorf("has run out, and is let in: %s", claims)
		}
		if _, err := v.Verify(t.Context(), text+"."); err == nil {
			t.Error("no signature is asked for")
		}
	})
}
