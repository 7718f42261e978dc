package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestEachAlgorithmWithItsKey(t *testing.T) {
	for _, tt := range []struct {
		method jwt.SigningMethod
		file   []byte
		key    any
	}{
		{jwt.SigningMethodHS256, append(testSecret, '\n'), testSecret},
		{jwt.SigningMethodHS256, append(testSecret, "\r\n"...), testSecret},
		{jwt.SigningMethodHS256, append(testSecret, "\n\n"...), append(testSecret, '\n')},
		{jwt.SigningMethodRS256, publicPEM(rsaKey), rsaKey},
		{jwt.SigningMethodES256, publicPEM(ecKey), ecKey},
		{jwt.SigningMethodEdDSA, publicPEM(edKey), edKey},
		{jwt.SigningMethodES256, append(publicPEM(edKey), publicPEM(ecKey)...), ecKey},
		{jwt.SigningMethodRS256, pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)}), rsaKey},
	} {
		t.Run(tt.method.Alg(), func(t *testing.T) {
			v := newVerifier(t, Config{KeyFile: write(t, "key", tt.file), Issuer: "https://issuer", Audience: "ticks"})
			g, err := v.Verify(t.Context(), sign(tt.method, tt.key, claimsWith(nil)))
			if err != nil {
				t.Fatal(err)
			}
			if g.Subject != "alice" || g.ID != "t-1" || time.Until(g.Expires) < time.Minute {
				t.Errorf("got %+v", g)
			}
		})
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	secretFile, rsaFile := write(t, "secret", testSecret), write(t, "rsa", publicPEM(rsaKey))
	otherRSA := must(rsa.GenerateKey(rand.Reader, 2048))
	good := sign(jwt.SigningMethodHS256, testSecret, claimsWith(nil))
	parts := strings.Split(good, ".")
	hs := func(changes jwt.MapClaims) string {
		return sign(jwt.SigningMethodHS256, testSecret, claimsWith(changes))
	}
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	for _, tt := range []struct{ name, file, token, why string }{
		{"no token", secretFile, "", "cannot be read"},
		{"two parts", secretFile, parts[0] + "." + parts[1], "cannot be read"},
		{"four parts", secretFile, good + ".x", "cannot be read"},
		{"no JSON", secretFile, "x." + parts[1] + "." + parts[2], "cannot be read"},
		{"padded", secretFile, parts[0] + "=." + parts[1] + "." + parts[2], "cannot be read"},
		{"too large", secretFile, good + strings.Repeat("A", TokenBytesMax), "over 8192 bytes"},
		{"another secret", secretFile, sign(jwt.SigningMethodHS256, []byte("another"), claimsWith(nil)), "signature"},
		{"another key", rsaFile, sign(jwt.SigningMethodRS256, otherRSA, claimsWith(nil)), "signature"},
		{"changed claims", secretFile, parts[0] + "." + segment(`{"exp":9999999999,"tickcast":{}}`) + "." + parts[2], "signature"},
		{"no signature", secretFile, parts[0] + "." + parts[1] + ".", "signature"},
		{"none", secretFile, sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claimsWith(nil)), "signature"},
		{"None in other letters", secretFile, segment(`{"alg":"nOnE"}`) + "." + parts[1] + ".", "algorithm"},
		{"no algorithm", secretFile, segment(`{}`) + "." + parts[1] + "." + parts[2], "algorithm"},
		{"a critical extension", secretFile, sign(jwt.SigningMethodHS256, testSecret, claimsWith(nil), "crit", "b64"), "algorithm"},
		{"HS512", secretFile, sign(jwt.SigningMethodHS512, testSecret, claimsWith(nil)), "signature"},
		{"the public key as a secret", rsaFile, sign(jwt.SigningMethodHS256, publicPEM(rsaKey), claimsWith(nil)), "unknown key"},
		{"the public key's bytes as a secret", rsaFile, sign(jwt.SigningMethodHS256, must(x509.MarshalPKIXPublicKey(rsaKey.Public())), claimsWith(nil)), "unknown key"},
		{"PSS on an RSA key", rsaFile, sign(jwt.SigningMethodPS256, rsaKey, claimsWith(nil)), "signature"},
		{"EC for RSA", rsaFile, sign(jwt.SigningMethodES256, ecKey, claimsWith(nil)), "unknown key"},
		{"run out", secretFile, hs(jwt.MapClaims{"exp": in(-2 * time.Second)}), "run out"},
		{"run out this second", secretFile, hs(jwt.MapClaims{"exp": in(0)}), "run out"},
		{"exp is no number", secretFile, hs(jwt.MapClaims{"exp": "soon"}), "cannot be read"},
		{"not yet", secretFile, hs(jwt.MapClaims{"nbf": in(time.Minute)}), "not valid yet"},
		{"another issuer", secretFile, hs(jwt.MapClaims{"iss": "https://issuer/"}), "issuer"},
		{"no issuer", secretFile, hs(jwt.MapClaims{"iss": nil}), "required"},
		{"another audience", secretFile, hs(jwt.MapClaims{"aud": "tick"}), "for others"},
		{"no audience", secretFile, hs(jwt.MapClaims{"aud": nil}), "required"},
		{"a claim of a wrong type", secretFile, hs(jwt.MapClaims{"tickcast": "all"}), "no object"},
		{"a limit of a wrong type", secretFile, hs(jwt.MapClaims{"tickcast": map[string]any{"max_symbols": "5"}}), "max_symbols"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(t, Config{KeyFile: tt.file, Issuer: "https://issuer", Audience: "ticks"})
			g, err := v.Verify(t.Context(), tt.token)
			if !errors.Is(err, ErrToken) || g != nil || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("got %v, %v, want %q", g, err, tt.why)
			}
			for _, part := range strings.Split(tt.token, ".") {
				if err != nil && len(part) > 4 && strings.Contains(err.Error(), part) {
					t.Errorf("the error tells the token: %v", err)
				}
			}
		})
	}
}

// An issuer's clock may be a little ahead of ours.
func TestNotBeforeHasGrace(t *testing.T) {
	v := newVerifier(t, Config{KeyFile: write(t, "key", testSecret)})
	c := claimsWith(jwt.MapClaims{"nbf": time.Now().Add(2 * time.Second).Unix()})
	if _, err := v.Verify(t.Context(), sign(jwt.SigningMethodHS256, testSecret, c)); err != nil {
		t.Error(err)
	}
}

func TestHolderIsTheSubjectOrTheToken(t *testing.T) {
	v := newVerifier(t, Config{KeyFile: write(t, "key", testSecret)})
	holder := func(changes jwt.MapClaims) string {
		g, err := v.Verify(t.Context(), sign(jwt.SigningMethodHS256, testSecret, claimsWith(changes)))
		if err != nil {
			t.Fatal(err)
		}
		return g.Holder
	}
	if holder(jwt.MapClaims{"jti": "a"}) != holder(jwt.MapClaims{"jti": "b"}) {
		t.Error("two tokens of one subject count apart")
	}
	if holder(jwt.MapClaims{"sub": nil, "jti": "a"}) == holder(jwt.MapClaims{"sub": nil, "jti": "b"}) {
		t.Error("two tokens without a subject count together")
	}
}

func TestKeyFilesThatAreRefused(t *testing.T) {
	block := func(typ string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})
	}
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	for _, tt := range []struct {
		name string
		text []byte
		why  string
	}{
		{"empty", nil, "empty"},
		{"a line end", []byte("\n"), "empty"},
		{"broken PEM", []byte("-----BEGIN PUBLIC KEY-----\nAAAA"), "broken PEM"},
		{"PEM behind a comment, broken", []byte("# key\n-----BEGIN PUBLIC KEY-----\nAAAA"), "broken PEM"},
		{"a good block and a broken one", append(publicPEM(ecKey), "-----BEGIN PUBLIC KEY-----\n"...), "broken PEM"},
		{"a JSON Web Key", []byte(jwkOf(rsaKey)), "no raw secret"},
		{"a set of them", []byte(`{"keys":[` + jwkOf(rsaKey) + `]}`), "no raw secret"},
		{"DER", must(x509.MarshalPKIXPublicKey(rsaKey.Public())), "no raw secret"},
		{"DER in base64", []byte(base64.StdEncoding.EncodeToString(must(x509.MarshalPKIXPublicKey(ecKey.Public())))), "no raw secret"},
		{"DER of PKCS #1", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey), "no raw secret"},
		{"a key of OpenSSH", []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI user@host\n"), "no raw secret"},
		{"a private key", block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(ecKey))), "private key"},
		{"a request", block("CERTIFICATE REQUEST", []byte{1}), "no public key"},
		{"no DER", block("PUBLIC KEY", []byte{1}), "asn1"},
		{"a small RSA key", publicPEM(small), "1024 bits"},
		{"another curve", publicPEM(p384), "P-384"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(Config{KeyFile: write(t, "key", tt.text)})
			if err == nil || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("got %v, want %q", err, tt.why)
			}
		})
	}
}

func TestConfigIsCheckedWhole(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		why  string
	}{
		{"no key", Config{}, "is missing"},
		{"two sources", Config{KeyFile: "k", JWKSURL: "https://x/keys"}, "exclude each other"},
		{"plain http", Config{JWKSURL: "http://issuer.example/keys"}, "https"},
		{"no URL", Config{JWKSURL: "keys.json"}, "no URL"},
		{"a missing file", Config{KeyFile: "/no/such/file"}, "no such file"},
	} {
		if _, err := New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.why)
		}
	}
}

// However many tokens come at once, the checks take their turns, good ones and bad ones alike.
func TestChecksComputeInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, Config{KeyFile: write(t, "secret", testSecret)})
		for range cap(v.places) {
			v.places <- struct{}{} // somebody computes
		}
		var checked atomic.Int64
		for range 10 {
			go func() {
				_, _ = v.Verify(t.Context(), sign(jwt.SigningMethodHS256, testSecret, claimsWith(nil)))
				_, _ = v.Verify(t.Context(), "x")
				checked.Add(1)
			}()
		}
		if synctest.Wait(); checked.Load() != 0 {
			t.Errorf("%d were checked without a place", checked.Load())
		}
		<-v.places
		if synctest.Wait(); checked.Load() != 10 {
			t.Errorf("%d of 10 were checked when there was a place", checked.Load())
		}
	})
}
