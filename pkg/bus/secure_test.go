package bus

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tickcast/tickcast/internal/certtest"
)

// A server elsewhere has a certificate of its own authority, and knows its users by their
// credentials file: NATS' accounts.
func TestServersWithTheirOwnAuthorityAndCredentials(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, text, 0o600))
		return path
	}
	cert, key := certtest.PEM(t, "nats", time.Now().Add(time.Hour))
	ca, private := file("ca.crt", cert), file("tls.key", key)

	operator, account, user := identity(t, nkeys.CreateOperator), identity(t, nkeys.CreateAccount), identity(t, nkeys.CreateUser)
	operatorJWT := signed(t, jwt.NewOperatorClaims(operator.public), operator)
	accountJWT := signed(t, jwt.NewAccountClaims(account.public), operator)
	creds, err := jwt.FormatUserConfig(signed(t, jwt.NewUserClaims(user.public), account), user.seed)
	must(t, err)
	nats := newNATSProcess(t, "-c", file("nats.conf", fmt.Appendf(nil, `
		operator: %s
		resolver: MEMORY
		resolver_preload: { %s: %s }
		tls: { cert_file: %q, key_file: %q }`, operatorJWT, account.public, accountJWT, ca, private)))
	nats.start()

	known := file("user.creds", creds)
	for _, every := range []time.Duration{0, 5 * time.Millisecond} { // a TLS connection is paced below its records
		messagesComeInOneOrder(t, connectReady(t, Config{Servers: nats.url(), CAFile: ca, CredentialsFile: known, ReadEvery: every}))
	}

	strange, _ := certtest.PEM(t, "nats", time.Now().Add(time.Hour))
	for _, tt := range []struct {
		name, want string
		cfg        Config
	}{
		{"another authority", "certificate", Config{CAFile: file("other.crt", strange), CredentialsFile: known}},
		{"no credentials", "Authorization", Config{CAFile: ca}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			core, logs := observer.New(zap.WarnLevel)
			tt.cfg.Servers, tt.cfg.Log = nats.url(), zap.New(core)
			b := connect(t, tt.cfg)
			eventually(t, "the refusal is told", func() bool {
				all := logs.All()
				return len(all) > 0 && strings.Contains(fmt.Sprint(all[0].ContextMap()), tt.want)
			})
			if b.Status().Ever {
				t.Error("connected")
			}
		})
	}
}

// A server may know its users by the public keys in its own configuration: nkeys.
func TestSeedOfAnNkey(t *testing.T) {
	user, stranger := identity(t, nkeys.CreateUser), identity(t, nkeys.CreateUser)
	decorated, err := jwt.DecorateSeed(user.seed)
	must(t, err)
	path := func(name string, text []byte) string {
		path := filepath.Join(t.TempDir(), name)
		must(t, os.WriteFile(path, text, 0o600))
		return path
	}
	nats := newNATSProcess(t, "-c", path("nats.conf", fmt.Appendf(nil, "authorization { users: [ { nkey: %s } ] }", user.public)))
	nats.start()
	for _, seed := range [][]byte{append(user.seed, '\n'), decorated} {
		connectReady(t, Config{Servers: nats.url(), CredentialsFile: path("seed.nk", seed)})
	}

	core, logs := observer.New(zap.WarnLevel)
	b := connect(t, Config{Servers: nats.url(), CredentialsFile: path("seed.nk", stranger.seed), Log: zap.New(core)})
	eventually(t, "the refusal is told", func() bool { return logs.Len() > 0 })
	if all := fmt.Sprint(logs.All()[0].ContextMap()); !strings.Contains(all, "Authorization") || strings.Contains(all, string(stranger.seed)) || b.Status().Ever {
		t.Errorf("a stranger's seed: %s", all)
	}
}

type signer struct {
	nkeys.KeyPair
	public string
	seed   []byte
}

func identity(t *testing.T, create func() (nkeys.KeyPair, error)) signer {
	t.Helper()
	pair, err := create()
	must(t, err)
	public, err := pair.PublicKey()
	must(t, err)
	seed, err := pair.Seed()
	must(t, err)
	return signer{pair, public, seed}
}

func signed(t *testing.T, claims jwt.Claims, by signer) string {
	t.Helper()
	text, err := claims.Encode(by.KeyPair)
	must(t, err)
	return text
}
