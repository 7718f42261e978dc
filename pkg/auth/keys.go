package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/MicahParks/jwkset"
)

// The algorithms that a token may be signed with.
const (
	algHS256 = "HS256"
	algRS256 = "RS256"
	algES256 = "ES256"
	algEdDSA = "EdDSA"
)

var algorithms = []string{algHS256, algRS256, algES256, algEdDSA}

const (
	// rsaBitsMin is what RFC 7518 section 3.3 requires.
	rsaBitsMin = 2048
	// secretBytesAdvised is what its section 3.2 does; shorter ones are taken with a warning.
	secretBytesAdvised = 32
)

// A key verifies tokens of one algorithm.
type key struct {
	alg    string
	id     string // kid; empty fits any
	public any    // as golang-jwt wants it: []byte, *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey
}

// newKey binds a public key to its algorithm.
func newKey(public any) (key, error) {
	switch p := public.(type) {
	case *rsa.PublicKey:
		if n := p.N.BitLen(); n < rsaBitsMin {
			return key{}, fmt.Errorf("RSA key of %d bits, at least %d are required", n, rsaBitsMin)
		}
		return key{alg: algRS256, public: p}, nil
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() {
			return key{}, fmt.Errorf("EC key on %s, P-256 is required", p.Curve.Params().Name)
		}
		return key{alg: algES256, public: p}, nil
	case ed25519.PublicKey:
		return key{alg: algEdDSA, public: p}, nil
	}
	return key{}, fmt.Errorf("no algorithm for a %T", public)
}

var pemBegin = []byte("-----BEGIN")

// parseKeyFile reads PEM public keys or certificates, any number, or else a raw secret without
// its trailing line end. Text that holds a PEM head anywhere is never a secret: whoever
// knows a public key could sign with it.
func parseKeyFile(text []byte) ([]key, error) {
	if !bytes.Contains(text, pemBegin) {
		secret := bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
		switch {
		case len(secret) == 0:
			return nil, errors.New("empty")
		case isPublicKey(secret):
			return nil, errors.New("holds a key that is not in PEM, and is no raw secret")
		}
		return []key{{alg: algHS256, public: bytes.Clone(secret)}}, nil
	}
	var keys []key
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		k, err := parseBlock(block)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 || bytes.Contains(text, pemBegin) {
		return nil, errors.New("broken PEM")
	}
	return keys, nil
}

// isPublicKey recognises what somebody might take for the file of a public key: a JSON Web Key
// or a set of them, DER, with base64 around it or without, and OpenSSH's line.
func isPublicKey(text []byte) bool {
	text = bytes.TrimSpace(text)
	if bytes.HasPrefix(text, []byte("ssh-")) || bytes.HasPrefix(text, []byte("ecdsa-sha2-")) {
		return true
	}
	if all, err := members(text); err == nil {
		return all["kty"] != nil || all["keys"] != nil
	}
	packed := bytes.Join(bytes.Fields(text), nil)
	unpacked, err := base64.StdEncoding.DecodeString(string(packed))
	return isDER(text) || err == nil && isDER(unpacked)
}

func isDER(text []byte) bool {
	_, pkix := x509.ParsePKIXPublicKey(text)
	_, pkcs1 := x509.ParsePKCS1PublicKey(text)
	_, cert := x509.ParseCertificate(text)
	return pkix == nil || pkcs1 == nil || cert == nil
}

func parseBlock(block *pem.Block) (key, error) {
	var public any
	var err error
	switch {
	case block.Type == "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case block.Type == "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case block.Type == "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			public = cert.PublicKey
		}
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return key{}, errors.New("holds a private key: tokens are checked with the public one")
	default:
		return key{}, fmt.Errorf("PEM block %q is no public key", block.Type)
	}
	if err != nil {
		return key{}, err
	}
	return newKey(public)
}

// parseKeySet reads a JSON Web Key Set. Keys that are no public signing keys of ours are
// passed over, as RFC 7517 section 5 advises; passed says why.
func parseKeySet(text []byte) (keys []key, passed []error, err error) {
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, nil, errors.New("no JSON Web Key Set")
	}
	for i, raw := range set.Keys {
		k, err := parseJWK(raw)
		if err != nil {
			passed = append(passed, fmt.Errorf("key %d: %w", i, err))
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, passed, errors.New("the key set has no key that can be used")
	}
	return keys, passed, nil
}

func parseJWK(raw json.RawMessage) (key, error) {
	jwk, err := jwkset.NewJWKFromRawJSON(raw, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return key{}, err
	}
	k, err := newKey(jwk.Key())
	if err != nil {
		return key{}, err
	}
	m := jwk.Marshal()
	if m.USE != "" && m.USE != jwkset.UseSig {
		return key{}, fmt.Errorf("is for use %q", m.USE)
	}
	if m.ALG != "" && m.ALG.String() != k.alg {
		return key{}, fmt.Errorf("is for algorithm %q", m.ALG)
	}
	k.id = m.KID
	return k, nil
}
