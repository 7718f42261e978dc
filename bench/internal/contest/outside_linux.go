package contest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// knownWithin is generous: a node knows its symbols some 100 ms after it is ready.
const knownWithin = 20 * time.Second

// known waits until the server at url lists the whole market: before that it refuses
// subscribers.
func known(ctx context.Context, url string, symbols int) error {
	ctx, cancel := context.WithTimeout(ctx, knownWithin)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // it signed its certificate itself
	}}
	defer client.CloseIdleConnections()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		var rows []json.RawMessage
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		err = json.NewDecoder(resp.Body).Decode(&rows)
		_ = resp.Body.Close()
		if err == nil && len(rows) >= symbols {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s lists %d symbols of %d: %w", url, len(rows), symbols, ctx.Err())
		case <-look.C:
		}
	}
}

// SelfSigned writes a certificate for loopback, good for a day, and its key into dir. The key is of P-256, as
// a public node's would be.
func SelfSigned(dir string) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return "", "", err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	return cert, key, errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600),
	)
}
