package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// TokenBytesMax is the size of token above which none is read.
const TokenBytesMax = 8 << 10

var (
	// ErrToken reports a token that is not let in; the text says why.
	ErrToken = errors.New("token refused")
	// ErrKeys reports that no keys could be read yet, so that nothing is known of the token.
	ErrKeys = errors.New("the keys that tokens are checked with cannot be read now")
)

const (
	// skew is how far an issuer's clock may be ahead of ours for nbf. A token that has run
	// out gets no such grace: it is a moment early to renew it, at worst.
	skew = 5 * time.Second
	// filesEvery is how often files are looked at.
	filesEvery = 500 * time.Millisecond
	// keySetEvery is how often the key set is fetched unasked; keySetRetry is after a failure.
	keySetEvery = 5 * time.Minute
	keySetRetry = 10 * time.Second
	// A token of an unknown key has the key set fetched, at once three times in a row, and
	// then every ten seconds: whoever makes such tokens up makes us fetch no more than that.
	keySetAskEvery, keySetAsks = 10 * time.Second, 3
)

// Config says which tokens are valid. One of KeyFile and JWKSURL is required.
type Config struct {
	// KeyFile holds PEM public keys or a raw HMAC secret; it is read again when it changes.
	KeyFile string
	// JWKSURL is where a JSON Web Key Set is fetched, again every five minutes, and
	// when a token names a key that is not in it.
	JWKSURL string
	// Issuer and Audience are what iss must be and aud must hold; empty is not checked.
	Issuer, Audience string
	// RequireExpiry refuses tokens without exp, which otherwise never run out.
	RequireExpiry bool
	// DenyFile lists tokens and subjects that are let in no more; it is read again when it
	// changes. Empty means none.
	DenyFile string
	// Log is where news of files and key sets goes; nil discards.
	Log *zap.Logger
}

// Validate reports every problem.
func (c Config) Validate() error {
	var errs []error
	switch {
	case c.KeyFile == "" && c.JWKSURL == "":
		errs = append(errs, errors.New("jwt-key-file is missing, or jwt-jwks-url in its place"))
	case c.KeyFile != "" && c.JWKSURL != "":
		errs = append(errs, errors.New("jwt-key-file and jwt-jwks-url exclude each other"))
	}
	if c.JWKSURL != "" {
		if err := checkKeySetURL(c.JWKSURL); err != nil {
			errs = append(errs, fmt.Errorf("jwt-jwks-url %w", err))
		}
	}
	return errors.Join(errs...)
}

// A Verifier checks tokens. Make one with New; Run keeps it up to date.
type Verifier struct {
	log    *zap.Logger
	parser *jwt.Parser
	keys   atomic.Pointer[[]key]
	deny   atomic.Pointer[denyList]
	places chan struct{} // for checks that compute

	keyFile, denyFile *file   // Run's
	keySet            *keySet // nil if the keys are in a file

	fetching sync.Mutex // held while the key set is fetched
	asks     *rate.Limiter
}

// New reads the files. A key set is fetched when it is needed first, or by Run: a node starts
// without it.
func New(cfg Config) (*Verifier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	v := &Verifier{
		log: cfg.Log, asks: rate.NewLimiter(rate.Every(keySetAskEvery), keySetAsks),
		// A signature takes up to 0.1 ms. Thousands at once must not stand between those who are
		// served and a processor: half of them is for tokens at the most.
		places: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
	if v.log == nil {
		v.log = zap.NewNop()
	}
	with := []jwt.ParserOption{
		jwt.WithValidMethods(algorithms), jwt.WithLeeway(skew), jwt.WithStrictDecoding(),
	}
	if cfg.RequireExpiry {
		with = append(with, jwt.WithExpirationRequired())
	}
	if cfg.Issuer != "" {
		with = append(with, jwt.WithIssuer(cfg.Issuer))
	}
	if cfg.Audience != "" {
		with = append(with, jwt.WithAudience(cfg.Audience))
	}
	v.parser = jwt.NewParser(with...)
	v.deny.Store(&denyList{})
	if cfg.DenyFile != "" {
		v.denyFile = &file{name: cfg.DenyFile}
		if _, err := v.rereadDenyList(); err != nil {
			return nil, fmt.Errorf("jwt-deny-file: %w", err)
		}
	}
	if cfg.JWKSURL != "" {
		v.keySet = newKeySet(cfg.JWKSURL)
		return v, nil
	}
	v.keyFile = &file{name: cfg.KeyFile}
	if err := v.rereadKeys(); err != nil {
		return nil, fmt.Errorf("jwt-key-file: %w", err)
	}
	return v, nil
}

// Verify checks the token and says what it grants. It waits while as many checks compute as may
// at once, each for up to 0.1 ms, and where the token names a key of the key set that is unknown as
// yet. Errors: ErrToken, ErrKeys.
func (v *Verifier) Verify(ctx context.Context, token string) (*Grant, error) {
	if len(token) > TokenBytesMax {
		return nil, fmt.Errorf("%w: over %d bytes", ErrToken, TokenBytesMax)
	}
	g, err := v.verify(token)
	if v.keySet != nil && errors.Is(err, errNoKey) && v.asks.Allow() && v.fetchKeys(ctx) == nil {
		g, err = v.verify(token)
	}
	switch {
	case errors.Is(err, errNoKey) && v.keys.Load() == nil:
		return nil, ErrKeys
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	case v.Denied(g):
		return nil, fmt.Errorf("%w: it was revoked", ErrToken)
	}
	return g, nil
}

// Denied says whether the deny list has the grant's token or subject.
func (v *Verifier) Denied(g *Grant) bool { return v.deny.Load().denies(g) }

var errNoKey = errors.New("it is signed by an unknown key")

func (v *Verifier) verify(token string) (*Grant, error) {
	v.places <- struct{}{}
	defer func() { <-v.places }()
	var c claims
	if _, err := v.parser.ParseWithClaims(token, &c, v.keysFor); err != nil {
		return nil, reason(err)
	}
	if c.ExpiresAt != nil && !time.Now().Before(c.ExpiresAt.Time) {
		return nil, reason(jwt.ErrTokenExpired)
	}
	e, err := parseClaim(c.tickcast)
	if err != nil {
		return nil, err
	}
	g := &Grant{Entitlement: e, Subject: c.Subject, ID: c.ID, Holder: "sub " + c.Subject}
	if c.ExpiresAt != nil {
		g.Expires = c.ExpiresAt.Time
	}
	if c.Subject == "" {
		sum := sha256.Sum256([]byte(token))
		g.Holder = "token " + hex.EncodeToString(sum[:16])
	}
	return g, nil
}

// keysFor returns the keys that may have signed the token: those of its algorithm, and of its
// kid where both name one.
func (v *Verifier) keysFor(t *jwt.Token) (any, error) {
	if _, critical := t.Header["crit"]; critical {
		return nil, errors.New("it has critical extensions") // RFC 7515 section 4.1.11; we know none
	}
	id, _ := t.Header["kid"].(string)
	var fit jwt.VerificationKeySet
	if keys := v.keys.Load(); keys != nil {
		for _, k := range *keys {
			if k.alg == t.Method.Alg() && (id == "" || k.id == "" || k.id == id) {
				fit.Keys = append(fit.Keys, k.public)
			}
		}
	}
	if len(fit.Keys) == 0 {
		return nil, errNoKey
	}
	return fit, nil
}

// reason puts an error of the parser in words of ours, which tell nothing of the token.
func reason(err error) error {
	for _, is := range []struct{ err, say error }{
		{errNoKey, errNoKey},
		{jwt.ErrTokenMalformed, errors.New("it cannot be read")},
		{jwt.ErrTokenSignatureInvalid, errors.New("its signature does not hold")},
		{jwt.ErrTokenUnverifiable, errors.New("its algorithm or header is not allowed")},
		{jwt.ErrTokenExpired, errors.New("it has run out")},
		{jwt.ErrTokenNotValidYet, errors.New("it is not valid yet")},
		{jwt.ErrTokenInvalidIssuer, errors.New("its issuer is another")},
		{jwt.ErrTokenInvalidAudience, errors.New("it is meant for others")},
		{jwt.ErrTokenRequiredClaimMissing, errors.New("it lacks a claim that is required (exp, iss or aud)")},
	} {
		if errors.Is(err, is.err) {
			return is.say
		}
	}
	return errors.New("it is not valid")
}
