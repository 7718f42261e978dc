package e2e_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tickcast/tickcast/internal/certtest"
)

// A certificate is a pair of files from which a node serves TLS.
type certificate struct{ cert, key string }

func newCertificate(t *testing.T, name string, notAfter time.Time) certificate {
	t.Helper()
	dir := t.TempDir()
	c := certificate{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	c.renew(t, name, notAfter)
	return c
}

// renew writes another pair over the files.
func (c certificate) renew(t *testing.T, name string, notAfter time.Time) {
	t.Helper()
	cert, key := certtest.PEM(t, name, notAfter)
	if err := errors.Join(os.WriteFile(c.cert, cert, 0o600), os.WriteFile(c.key, key, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// options has the node serve it.
func (c certificate) options() []string { return []string{"--tls-cert", c.cert, "--tls-key", c.key} }
