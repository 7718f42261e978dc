// Cluster is a Kubernetes API server with its etcd in one process, for checks of objects: it
// validates, defaults and stores them, and nothing acts on them.
//
//	cluster FOLDER
//
// It keeps everything in the folder, which should be empty, listens on a free port of loopback,
// and writes FOLDER/kubeconfig when it knows the port. It is a module of its own, since a cold
// build takes half an hour of two cores. Run it by make check-cluster.
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: cluster FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	store, err := startEtcd(filepath.Join(dir, "etcd"))
	if err != nil {
		return err
	}
	defer store.Close()

	addr, err := freeAddr()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(addr)
	key, token, certs := filepath.Join(dir, "accounts.key"), rand.Text(), filepath.Join(dir, "certs")
	tokens := filepath.Join(dir, "tokens.csv")
	for _, err := range []error{
		writeKey(key),
		os.WriteFile(tokens, []byte(token+",admin,admin,system:masters\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "kubeconfig"), fmt.Appendf(nil, kubeconfig, filepath.Join(certs, "apiserver.crt"), addr, token), 0o600),
	} {
		if err != nil {
			return err
		}
	}
	server := app.NewAPIServerCommand()
	server.SetArgs([]string{
		"--etcd-servers=http://" + store.Clients[0].Addr().String(),
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=" + port,
		"--cert-dir=" + certs, "--token-auth-file=" + tokens, "--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + key, "--service-account-signing-key-file=" + key,
		"--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112",
	})
	return server.Execute() // until a signal
}

// startEtcd returns when the store is ready.
func startEtcd(dir string) (*embed.Etcd, error) {
	config := embed.NewConfig()
	config.Dir, config.LogLevel = dir, "error"
	free := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	config.ListenClientUrls, config.ListenPeerUrls = free, free
	store, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	select {
	case <-store.Server.ReadyNotify():
		return store, nil
	case <-time.After(time.Minute):
		store.Close()
		return nil, errors.New("etcd is not ready after a minute")
	}
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// writeKey makes the key that tokens of service accounts are signed with.
func writeKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return os.WriteFile(path, text, 0o600)
}

const kubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: check, cluster: {certificate-authority: %q, server: "https://%s"}}]
users: [{name: admin, user: {token: %q}}]
contexts: [{name: check, context: {cluster: check, user: admin}}]
current-context: check
`
