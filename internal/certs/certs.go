// Package certs serves TLS from files that change: certificates are renewed, and Kubernetes
// swaps a mounted secret by a symbolic link. A [Keeper] looks at what the files hold, not at
// their times, so that every way of replacing them is seen alike. What cannot be used changes
// nothing: the last good files are served on.
package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Files name PEM files.
type Files struct {
	// Cert holds the certificate and what chains it to a root, Key its private key.
	Cert, Key string
	// ClientCA holds the roots of client certificates, which are required then. Empty asks
	// for none.
	ClientCA string
}

// A Keeper holds the last good content of the files.
type Keeper struct {
	files   Files
	log     *zap.Logger
	config  *tls.Config
	seen    [3][]byte // contents last looked at, good or not; Watch's own
	current atomic.Pointer[tls.Config]
}

// New reads the files. It fails if they cannot be used now.
func New(files Files, log *zap.Logger) (*Keeper, error) {
	k := &Keeper{files: files, log: log, config: base()}
	k.config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.current.Load(), nil }
	contents, err := files.read()
	if err != nil {
		return nil, err
	}
	k.seen = contents
	return k, k.use(contents)
}

// Config is for a server of HTTP/1.1: TLS 1.2 at least, session tickets, large records. Each
// handshake takes the files as they are then; connections that are open keep what they had.
func (k *Keeper) Config() *tls.Config { return k.config }

func base() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, DynamicRecordSizingDisabled: true}
}

// NotAfter is when the certificate that is served runs out.
func (k *Keeper) NotAfter() time.Time { return k.current.Load().Certificates[0].Leaf.NotAfter }

// lookEvery is how often the files are read: they are small, and nobody waits for them.
const lookEvery = 5 * time.Second

// Watch follows the files until ctx ends.
func (k *Keeper) Watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			k.look()
		}
	}
}

// look takes changed files into use. Bad ones are reported once, until they change again.
func (k *Keeper) look() {
	contents, err := k.files.read()
	if equal(contents, k.seen) {
		return
	}
	k.seen = contents
	if err == nil {
		err = k.use(contents)
	}
	if err != nil {
		k.log.Error("new TLS files cannot be used; the old ones are", zap.Error(err))
	}
}

func equal(a, b [3][]byte) bool {
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// read returns the contents of the three files, nil for one that cannot be read, and the first
// error.
func (f Files) read() (contents [3][]byte, err error) {
	for i, name := range []string{f.Cert, f.Key, f.ClientCA} {
		if name == "" {
			continue
		}
		var failed error
		if contents[i], failed = os.ReadFile(name); err == nil {
			err = failed
		}
	}
	return contents, err
}

func (k *Keeper) use(contents [3][]byte) error {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return fmt.Errorf("%s and %s: %w", k.files.Cert, k.files.Key, err)
	}
	c := base()
	c.Certificates = []tls.Certificate{pair}
	if k.files.ClientCA != "" {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(contents[2]) {
			return fmt.Errorf("%s: no certificate in it", k.files.ClientCA)
		}
	}
	k.current.Store(c)
	k.log.Info("TLS certificate in use", zap.String("subject", pair.Leaf.Subject.String()),
		zap.Strings("names", pair.Leaf.DNSNames), zap.Time("not_after", pair.Leaf.NotAfter))
	return nil
}
