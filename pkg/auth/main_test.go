package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/tickcast/tickcast/internal/waiting"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	testSecret = []byte("a secret of no less than thirty-two bytes")
	rsaKey     = must(rsa.GenerateKey(rand.Reader, 2048))
	ecKey      = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	edKey      = func() ed25519.PrivateKey { _, k, err := ed25519.GenerateKey(rand.Reader); return must(k, err) }()
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func publicPEM(k crypto.Signer) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(k.Public()))})
}

// claimsWith returns good claims with some changed; nil takes one out.
func claimsWith(changes jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{
		"sub": "alice", "jti": "t-1", "iss": "https://issuer", "aud": []string{"ticks", "other"},
		"exp": time.Now().Add(time.Hour).Unix(), "tickcast": map[string]any{},
	}
	maps.Copy(c, changes)
	for name, v := range c {
		if v == nil {
			delete(c, name)
		}
	}
	return c
}

func sign(m jwt.SigningMethod, k any, claims jwt.Claims, header ...string) string {
	t := jwt.NewWithClaims(m, claims)
	for i := 0; i < len(header); i += 2 {
		t.Header[header[i]] = header[i+1]
	}
	return must(t.SignedString(k))
}

// write puts text into a file by renaming, as operators' tools do.
func write(t testing.TB, name string, text []byte) string {
	t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(t.TempDir(), name)
	}
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
	return name
}

func newVerifier(t testing.TB, cfg Config) *Verifier {
	t.Helper()
	v, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

var await = waiting.For
