package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// run follows the verifier's files until the test ends.
func run(t *testing.T, v *Verifier, denied func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { v.Run(ctx, denied); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
}

func accepts(t *testing.T, v *Verifier, token string) bool {
	t.Helper()
	_, err := v.Verify(t.Context(), token)
	return err == nil
}

func TestKeyFileIsReadAgain(t *testing.T) {
	name := write(t, "key", publicPEM(ecKey))
	logs, seen := observer.New(zap.DebugLevel)
	v := newVerifier(t, Config{KeyFile: name, Log: zap.New(logs)})
	run(t, v, func() {})
	ec, ed := sign(jwt.SigningMethodES256, ecKey, claimsWith(nil)), sign(jwt.SigningMethodEdDSA, edKey, claimsWith(nil))
	if !accepts(t, v, ec) || accepts(t, v, ed) {
		t.Fatal("the first key does not count")
	}
	write(t, name, append(publicPEM(ecKey), publicPEM(edKey)...))
	await(t, "both keys", func() bool { return accepts(t, v, ec) && accepts(t, v, ed) })
	write(t, name, publicPEM(edKey))
	await(t, "the first to be gone", func() bool { return !accepts(t, v, ec) })
	write(t, name, []byte("-----BEGIN NONSENSE"))
	await(t, "a complaint", func() bool { return seen.FilterMessageSnippet("key file not read").Len() > 0 })
	if !accepts(t, v, ed) {
		t.Error("a broken file takes the key away")
	}
	for _, e := range seen.All() {
		if s := e.Message + string(must(json.Marshal(e.ContextMap()))); strings.Contains(s, ec) || strings.Contains(s, ed) {
			t.Errorf("logged a token: %s", s)
		}
	}
}

func TestDenyListTakesEffect(t *testing.T) {
	name := write(t, "deny", nil)
	logs, seen := observer.New(zap.DebugLevel)
	v := newVerifier(t, Config{KeyFile: write(t, "key", testSecret), DenyFile: name, Log: zap.New(logs)})
	var changes atomic.Int64
	run(t, v, func() { changes.Add(1) })
	grant := func(changes jwt.MapClaims) (string, *Grant) {
		token := sign(jwt.SigningMethodHS256, testSecret, claimsWith(changes))
		g, err := v.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		return token, g
	}
	one, byID := grant(jwt.MapClaims{"sub": "bob", "jti": "t-1"})
	two, bySubject := grant(jwt.MapClaims{"sub": "eve", "jti": "t-2"})
	three, not := grant(jwt.MapClaims{"sub": "t-1", "jti": "eve"})
	before := changes.Load()
	write(t, name, []byte("# left the firm\nsub:eve\n\njti t-1\r\n"))
	await(t, "the word of it", func() bool { return changes.Load() > before && v.Denied(byID) && v.Denied(bySubject) })
	if v.Denied(not) || accepts(t, v, one) || accepts(t, v, two) || !accepts(t, v, three) {
		t.Error("the list says another thing")
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	await(t, "a complaint", func() bool { return seen.FilterMessageSnippet("deny list not read").Len() > 0 })
	if !v.Denied(byID) {
		t.Error("a list that is gone denies nobody")
	}
}

func TestDenyListsThatAreRefused(t *testing.T) {
	for _, text := range []string{"eve", "subject:eve", "jti:", "sub: \n", ":eve"} {
		if _, err := New(Config{KeyFile: write(t, "key", testSecret), DenyFile: write(t, "deny", []byte(text))}); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func jwk(kid string) map[string]any {
	raw := ecKey.PublicKey
	b := must(raw.Bytes())[1:]
	enc := base64.RawURLEncoding.EncodeToString
	return map[string]any{"kty": "EC", "crv": "P-256", "x": enc(b[:32]), "y": enc(b[32:]), "kid": kid, "use": "sig", "alg": "ES256"}
}

// An issuer serves its key set on loopback and counts who asks.
type issuer struct {
	set   atomic.Pointer[map[string]any]
	asked atomic.Int64
	url   string
}

func newIssuer(t *testing.T, keys ...any) *issuer {
	i := &issuer{}
	i.serve(keys...)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.asked.Add(1)
		set := i.set.Load()
		if set == nil {
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		_ = json.NewEncoder(w).Encode(set)
	}))
	t.Cleanup(s.Close)
	i.url = s.URL
	return i
}

func (i *issuer) serve(keys ...any) { i.set.Store(&map[string]any{"keys": keys}) }

func TestKeySetRotates(t *testing.T) {
	i := newIssuer(t, jwk("one"), map[string]any{"kty": "oct", "k": "c2VjcmV0", "kid": "shared"}, map[string]any{"kty": "new"})
	v := newVerifier(t, Config{JWKSURL: i.url})
	token := func(kid string) string {
		return sign(jwt.SigningMethodES256, ecKey, claimsWith(nil), "kid", kid)
	}
	if !accepts(t, v, token("one")) {
		t.Fatal("the key of the set does not count")
	}
	if accepts(t, v, sign(jwt.SigningMethodHS256, []byte("secret"), claimsWith(nil), "kid", "shared")) {
		t.Error("a secret out of a public set counts")
	}
	i.serve(jwk("two"))
	if !accepts(t, v, token("two")) || accepts(t, v, token("one")) {
		t.Error("the set did not rotate")
	}
	asked := i.asked.Load()
	for range 50 {
		accepts(t, v, token("made up"))
	}
	if n := i.asked.Load() - asked; n > keySetAsks {
		t.Errorf("unknown keys had the set fetched %d times", n)
	}
}

func TestKeySetThatIsAway(t *testing.T) {
	i := newIssuer(t)
	i.set.Store(nil)
	v := newVerifier(t, Config{JWKSURL: i.url})
	token := sign(jwt.SigningMethodES256, ecKey, claimsWith(nil), "kid", "one")
	if _, err := v.Verify(t.Context(), token); !errors.Is(err, ErrKeys) {
		t.Errorf("got %v, want ErrKeys", err)
	}
	i.serve(jwk("one"))
	run(t, v, func() {})
	await(t, "the key set", func() bool { return accepts(t, v, token) })
	i.set.Store(nil)
	if !accepts(t, v, token) {
		t.Error("keys that were read are forgotten")
	}
}

func TestWhatStandsInTheKeySetsURLIsNotLogged(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	core, logs := observer.New(zap.DebugLevel)
	secret := "hunter2"
	v := newVerifier(t, Config{JWKSURL: strings.Replace(gone.URL, "//", "//user:"+secret+"@", 1) + "/keys?key=" + secret, Log: zap.New(core)})
	_, err := v.Verify(t.Context(), sign(jwt.SigningMethodES256, ecKey, claimsWith(nil)))
	if !errors.Is(err, ErrKeys) || logs.FilterMessage("key set not fetched").Len() == 0 {
		t.Fatalf("got %v and %v, want ErrKeys and a line of the log", err, logs.All())
	}
	for _, line := range logs.All() {
		if fields := line.ContextMap(); strings.Contains(fmt.Sprint(line.Message, fields, err), secret) {
			t.Errorf("logged: %s %v", line.Message, fields)
		}
	}
}

func FuzzVerify(f *testing.F) {
	v := newVerifier(f, Config{KeyFile: write(f, "key", append(publicPEM(ecKey), publicPEM(edKey)...)), Issuer: "https://issuer"})
	f.Add(sign(jwt.SigningMethodHS256, testSecret, claimsWith(nil)))
	f.Add(sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claimsWith(nil)))
	f.Add("eyJhbGciOiJFUzI1NiJ9.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		// No key of the verifier signed any of these.
		if g, err := v.Verify(t.Context(), token); err == nil || g != nil {
			t.Errorf("%q is let in: %+v", token, g)
		}
	})
}

func FuzzKeys(f *testing.F) {
	f.Add(publicPEM(ecKey))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`))
	f.Add([]byte("sub:eve\njti t-1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseKeyFile(text)
		if err == nil && len(keys) == 0 {
			t.Error("no key and no error")
		}
		_, _, _ = parseKeySet(text)
		_, _ = parseDenyList(text)
	})
}
