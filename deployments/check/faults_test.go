package check

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Faults of real programs make every alert fire in a real Prometheus; the rules are those that
// are shipped, with shorter times.
func TestFaultsMakeAlertsFire(t *testing.T) {
	rules, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	soon := strings.NewReplacer("[1m]", "[5s]", "[5m]", "[30s]").Replace(string(rules))
	soon = regexp.MustCompile(`for: [0-9]+[sm]`).ReplaceAllString(soon, "for: 1s")

	streamer, feed, natsAddr := buildProgram(t, "cmd/streamer"), buildProgram(t, "cmd/feed"), freeAddr(t)
	cert, key := certificate(t, time.Now().Add(24*time.Hour))
	alone := []string{"--addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--log-level=error", "--drain=0s"}
	store := func() *process {
		return begin(t, streamer, nil, slices.Concat(alone, []string{"--nats=embedded", "--nats-listen=" + natsAddr})...)
	}
	nats := store()
	node := slices.Concat(alone, []string{"--nats=nats://" + natsAddr})
	starved := begin(t, streamer, nil, node...)
	node = append(node, "--max-connections=50", "--pending-bytes=16KiB", "--slow-timeout=1h")
	full := start(t, streamer, nil, node...)
	secure := start(t, streamer, nil, append(node, "--tls-cert="+cert, "--tls-key="+key)...)
	feedAdmin := freeAddr(t) // of one feed after another
	publish := func(rate string) *process {
		return begin(t, feed, nil, "--rate="+rate, "--admin-addr="+feedAdmin, "--log-level=error", "--nats=nats://"+natsAddr)
	}
	busy := publish("20000")
	p := startPrometheus(t, soon, full["admin_addr"], secure["admin_addr"], starved.ready["admin_addr"], feedAdmin)
	fires := func(when string, alerts ...string) {
		t.Helper()
		p.await("alerts of "+when, func() ([]string, error) {
			now, err := p.firing()
			return slices.DeleteFunc(slices.Clone(alerts), func(a string) bool { return slices.Contains(now, a) }), err
		})
	}

	load(t, full["addr"], "--subscribers=48", "--symbols=100", "--slow=0.5", "--slow-kind=stalled")
	fires("an old certificate, slow subscribers, a full node", "TickcastCertificateEnds", "TickcastSlowConsumers", "TickcastNearConnectionLimit")
	nats.stop()
	fires("NATS gone", "TickcastNATSLost")
	store()
	fires("ticks made while NATS was gone", "TickcastGaps of "+full["admin_addr"])
	load(t, starved.ready["addr"], "--subscribers=300", "--symbols=100")
	enough := starve(starved)
	fires("a node that gets a sixth of a core", "TickcastLoopLag of "+starved.ready["admin_addr"])
	enough()
	busy.stop()
	fires("a feed that is gone", "TickcastNoTicks")
	publish("0.001")
	fires("a feed without ticks", "TickcastFeedSilent", "TickcastNoTicks")
}

// starve lets the program run for 20 ms of every 120, as a CPU limit of a sixth of a core does,
// until enough is called.
func starve(p *process) (enough func()) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			_ = p.cmd.Process.Signal(syscall.SIGSTOP)
			time.Sleep(100 * time.Millisecond)
			_ = p.cmd.Process.Signal(syscall.SIGCONT)
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	enough = sync.OnceFunc(func() { close(stop); <-stopped })
	p.t.Cleanup(enough)
	return enough
}

// certificate makes files of one that ends soon.
func certificate(t *testing.T, notAfter time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: notAfter, DNSNames: []string{"localhost"}}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: signed}, key: {Type: "PRIVATE KEY", Bytes: plain}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
