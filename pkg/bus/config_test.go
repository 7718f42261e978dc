package bus

import (
	"strings"
	"testing"
)

func TestConfigIsCheckedAllAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		want []string // what the error tells; none: no error
	}{
		{"embedded", Config{Servers: Embedded}, nil},
		{"embedded and listening", Config{Servers: Embedded, Listen: "127.0.0.1:0"}, nil},
		{"several servers", Config{Servers: "nats://a:4222, tls://b, c:4222"}, nil},
		{"no server", Config{}, []string{"entry 1"}},
		{"not a URL", Config{Servers: "nats://a,http://b,nats://"}, []string{"entry 2", "entry 3"}},
		{"all of it", Config{
			Servers: "nats://a", Listen: "0:0:0", Replicas: 6, HistoryBytes: -1, HistoryPerStream: -1, QueueMessages: -1, ReadEvery: -1,
		}, []string{"embedded server only", "nats-listen:", "nats-replicas", "HistoryBytes", "HistoryPerStream", "QueueMessages", "ReadEvery"}},
		{"files that are not there", Config{Servers: "tls://a", CAFile: "nowhere.crt", CredentialsFile: "nowhere.creds"}, []string{"nats-ca", "nats-credentials"}},
		{"files that hold something else", Config{Servers: "tls://a", CAFile: "config_test.go", CredentialsFile: "config_test.go"}, []string{"nats-ca: config_test.go holds no certificate", "nats-credentials: config_test.go holds no"}},
		{"ports that no server has", Config{Servers: "a:70000,b:0,c:4222"}, []string{"entry 1 has port 70000", "entry 2 has port 0"}},
		{"credentials for itself", Config{Servers: Embedded, CredentialsFile: "config_test.go"}, []string{"servers elsewhere"}},
		{"replicas of one server", Config{Servers: Embedded, Replicas: 3}, []string{"nats-replicas"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.cfg.Validate()
			if (err != nil) != (tt.want != nil) {
				t.Fatalf("got %v", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not tell of %s", err, want)
				}
			}
		})
	}
}

func TestConfigErrorHoldsNoPassword(t *testing.T) {
	for _, servers := range []string{"nats://feed:secret@bad host", "http://feed:secret@host", "nats://feed:secret@host:port"} {
		if _, err := Connect(t.Context(), Config{Servers: servers}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v", err)
		}
	}
}

func TestEmbeddedServerThatCannotListenIsAnError(t *testing.T) {
	first := connectReady(t, Config{Servers: Embedded, Listen: "127.0.0.1:0"})
	_, err := Connect(t.Context(), Config{Servers: Embedded, Listen: strings.TrimPrefix(first.Status().URL, "nats://")})
	if err == nil {
		t.Fatal("two servers listen on one port")
	}
}
