package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tickcast/tickcast/internal/certtest"
)

// A secret is a folder as Kubernetes mounts it: the files are links through a link, and a new
// version is a new folder to which that link is turned.
type secret struct {
	t       *testing.T
	dir     string
	version int
}

func newSecret(t *testing.T) *secret {
	s := &secret{t: t, dir: t.TempDir()}
	for _, name := range []string{"tls.crt", "tls.key", "ca.crt"} {
		s.must(os.Symlink(filepath.Join("current", name), filepath.Join(s.dir, name)))
	}
	return s
}

func (s *secret) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *secret) files() Files {
	return Files{Cert: filepath.Join(s.dir, "tls.crt"), Key: filepath.Join(s.dir, "tls.key")}
}

func (s *secret) swap(cert, key []byte) {
	s.t.Helper()
	s.version++
	next := filepath.Join(s.dir, string(rune('a'+s.version)))
	s.must(os.Mkdir(next, 0o700))
	s.must(os.WriteFile(filepath.Join(next, "tls.crt"), cert, 0o600))
	s.must(os.WriteFile(filepath.Join(next, "tls.key"), key, 0o600))
	s.must(os.WriteFile(filepath.Join(next, "ca.crt"), cert, 0o600))
	s.must(os.Symlink(next, next+".link"))
	s.must(os.Rename(next+".link", filepath.Join(s.dir, "current")))
}

// subject is the name in the certificate that a new connection is shown.
func subject(t *testing.T, k *Keeper) string {
	t.Helper()
	state, err := handshake(k, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	return state.PeerCertificates[0].Subject.CommonName
}

func handshake(k *Keeper, client *tls.Config) (tls.ConnectionState, error) {
	here, there := net.Pipe()
	defer here.Close()
	go func() {
		server := tls.Server(there, k.Config())
		_ = server.Handshake()
		_, _ = server.Write([]byte("x")) // TLS 1.3: a client hears of its rejection only when it reads
		_ = there.Close()
	}()
	over := tls.Client(here, client)
	if err := over.Handshake(); err != nil {
		return tls.ConnectionState{}, err
	}
	_, err := over.Read(make([]byte, 1))
	return over.ConnectionState(), err
}

func TestFilesAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		expiry := time.Now().Add(time.Hour).Truncate(time.Second)
		oneCert, oneKey := certtest.PEM(t, "one", expiry)
		twoCert, twoKey := certtest.PEM(t, "two", expiry.Add(time.Hour))
		s := newSecret(t)
		s.swap(oneCert, oneKey)
		core, logs := observer.New(zap.ErrorLevel)
		k, err := New(s.files(), zap.New(core))
		s.must(err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { k.Watch(ctx); close(done) }()
		for _, step := range []struct {
			name      string
			cert, key []byte
			subject   string
			notAfter  time.Time
			errors    int // logged so far
		}{
			{"a new certificate", twoCert, twoKey, "two", expiry.Add(time.Hour), 0},
			{"a key that is not its own", oneCert, twoKey, "two", expiry.Add(time.Hour), 1},
			{"nonsense", []byte("x"), []byte("y"), "two", expiry.Add(time.Hour), 2},
			{"good again", oneCert, oneKey, "one", expiry, 2},
		} {
			s.swap(step.cert, step.key)
			time.Sleep(3 * lookEvery)
			synctest.Wait()
			if got := subject(t, k); got != step.subject || !k.NotAfter().Equal(step.notAfter) {
				t.Errorf("after %s: serves %q until %s, want %q until %s", step.name, got, k.NotAfter(), step.subject, step.notAfter)
			}
			if n := logs.Len(); n != step.errors {
				t.Errorf("after %s: %d errors logged, want %d", step.name, n, step.errors)
			}
		}
		s.must(os.Remove(filepath.Join(s.dir, "current")))
		time.Sleep(3 * lookEvery)
		synctest.Wait()
		if got := subject(t, k); got != "one" || logs.Len() != 3 {
			t.Errorf("without files: serves %q, %d errors logged", got, logs.Len())
		}
		cancel()
		<-done
	})
}

func TestFilesThatCannotBeUsedAtFirst(t *testing.T) {
	s := newSecret(t)
	if _, err := New(s.files(), zap.NewNop()); err == nil {
		t.Error("no files were taken")
	}
	cert, _ := certtest.PEM(t, "one", time.Now().Add(time.Hour))
	_, key := certtest.PEM(t, "two", time.Now().Add(time.Hour))
	s.swap(cert, key)
	if _, err := New(s.files(), zap.NewNop()); err == nil {
		t.Error("a key of another certificate was taken")
	}
}

func TestClientCertificates(t *testing.T) {
	s := newSecret(t)
	s.swap(certtest.PEM(t, "server", time.Now().Add(time.Hour)))
	cert, key := certtest.PEM(t, "good", time.Now().Add(time.Hour))
	good, err := tls.X509KeyPair(cert, key)
	s.must(err)
	files := s.files()
	files.ClientCA = filepath.Join(s.dir, "roots.crt")
	s.must(os.WriteFile(files.ClientCA, cert, 0o600))
	k, err := New(files, zap.NewNop())
	s.must(err)
	for _, tt := range []struct {
		name  string
		certs []tls.Certificate
		ok    bool
	}{
		{"none", nil, false},
		{"of another root", []tls.Certificate{certtest.Pair(t, "evil")}, false},
		{"of the root", []tls.Certificate{good}, true},
	} {
		_, err := handshake(k, &tls.Config{InsecureSkipVerify: true, Certificates: tt.certs})
		if (err == nil) != tt.ok {
			t.Errorf("client certificate %s: %v", tt.name, err)
		}
	}
	s.must(os.WriteFile(files.ClientCA, []byte("nothing"), 0o600))
	k.look()
	if _, err := handshake(k, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{good}}); err != nil {
		t.Errorf("with the old roots: %v", err)
	}
}

func TestOffersWhatIsPromised(t *testing.T) {
	s := newSecret(t)
	cert, key := certtest.PEM(t, "server", time.Now().Add(time.Hour))
	s.swap(cert, key)
	k, err := New(s.files(), zap.NewNop())
	s.must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	client := &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"h2", "http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for _, resumed := range []bool{false, true} {
		state, err := handshake(k, client)
		s.must(err)
		if state.Version != tls.VersionTLS13 || state.NegotiatedProtocol != "http/1.1" || state.DidResume != resumed {
			t.Errorf("%s, ALPN %q, resumed %t; want %t", tls.VersionName(state.Version), state.NegotiatedProtocol, state.DidResume, resumed)
		}
	}
	if _, err := handshake(k, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		t.Error("TLS 1.1 was taken")
	}
}
