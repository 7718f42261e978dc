package bus

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// Embedded as Config.Servers starts a NATS server inside this process.
const Embedded = "embedded"

// Config says which NATS to use. Servers is required; the zero value of the rest works.
type Config struct {
	// Servers is a comma-separated list of URLs (nats, tls, ws or wss; user and password
	// may be in them), or Embedded.
	Servers string
	// CAFile is a PEM file with the roots of the servers' certificates. Empty: the system's.
	CAFile string
	// CredentialsFile is a .creds file, as NATS's own tools make it, or holds an nkey's seed;
	// read again for each connection. Empty: whatever the URLs hold.
	CredentialsFile string
	// Name is what NATS's own monitoring shows for this connection.
	Name string
	// Listen is the host:port on which an embedded server takes connections of other
	// processes, of anybody who can reach it; port 0 picks a free one, which Status.URL
	// tells. Empty: none.
	Listen string
	// Replicas of what JetStream remembers, 1 to 5. 0 means 1. Above 1 needs a cluster.
	Replicas int
	// HistoryBytes bounds all stored trades together; the oldest go first. 0 means 512 MiB,
	// 256 MiB when embedded.
	HistoryBytes int64
	// HistoryPerStream bounds the stored messages of one symbol's trades. 0 means 65,536: a
	// minute of a feed that sends one every millisecond.
	HistoryPerStream int64
	// QueueMessages is how many messages may wait for Run before new ones are dropped.
	// 0 means 65,536.
	QueueMessages int
	// ReadEvery lets a busy connection gather what comes for so long between two reads, which
	// costs less; what comes after a quiet time is read at once. 0 reads at once always. An
	// embedded server's messages are not held up.
	ReadEvery time.Duration
	// Log gets one line per change of state. nil means none.
	Log *zap.Logger
}

// Validate reports every problem at once, by the names of the programs' options where there are
// some. Its text holds no credentials.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if c.Servers != Embedded {
		for i, server := range strings.Split(c.Servers, ",") {
			// The parser's own error repeats its input, and with it the password.
			u, err := url.Parse(withScheme(server))
			if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
				bad("nats: entry %d is not a NATS URL such as nats://host:4222", i+1)
			} else if port := u.Port(); port != "" && !isPort(port) {
				bad("nats: entry %d has port %s, which is not 1 to 65535", i+1, port)
			}
		}
	}
	if c.Listen != "" {
		if c.Servers != Embedded {
			bad("nats-listen %q is for an embedded server only", c.Listen)
		}
		if _, _, err := splitListen(c.Listen); err != nil {
			bad("nats-listen: %w", err)
		}
	}
	for _, f := range []struct {
		option, file string
		check        func(file string) error
	}{
		{"nats-ca", c.CAFile, checkAuthority},
		{"nats-credentials", c.CredentialsFile, func(file string) error { _, err := credentials(file); return err }},
	} {
		if f.file == "" {
			continue
		}
		if c.Servers == Embedded {
			bad("%s is for servers elsewhere", f.option)
		}
		if err := f.check(f.file); err != nil {
			bad("%s: %w", f.option, err)
		}
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		bad("nats-replicas %d: 1 to 5", c.Replicas)
	}
	if c.Servers == Embedded && c.Replicas > 1 {
		bad("nats-replicas %d: an embedded server has only 1", c.Replicas)
	}
	if c.HistoryBytes < 0 {
		bad("HistoryBytes is %d, must not be negative", c.HistoryBytes)
	}
	if c.HistoryPerStream < 0 {
		bad("HistoryPerStream is %d, must not be negative", c.HistoryPerStream)
	}
	if c.QueueMessages < 0 || c.QueueMessages == 1 {
		bad("QueueMessages is %d, must be at least 2", c.QueueMessages)
	}
	if c.ReadEvery < 0 || c.ReadEvery > time.Second {
		bad("ReadEvery is %v, must be 0 to 1s", c.ReadEvery)
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.HistoryBytes == 0 {
		c.HistoryBytes = 512 << 20
		if c.Servers == Embedded {
			c.HistoryBytes = 256 << 20
		}
	}
	if c.HistoryPerStream == 0 {
		c.HistoryPerStream = 65_536
	}
	if c.QueueMessages == 0 {
		c.QueueMessages = 65_536
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	return c
}

func checkAuthority(file string) error {
	text, err := os.ReadFile(file)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(text) {
		err = fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return err
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

func (c Config) urls() string {
	var urls []string
	for server := range strings.SplitSeq(c.Servers, ",") {
		urls = append(urls, withScheme(server))
	}
	return strings.Join(urls, ",")
}

func withScheme(server string) string {
	server = strings.TrimSpace(server)
	if !strings.Contains(server, "://") {
		return "nats://" + server
	}
	return server
}

func splitListen(listen string) (host string, port int, err error) {
	addr, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return "", 0, err
	}
	host, _, err = net.SplitHostPort(listen)
	return host, addr.Port, err
}
