package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/tickcast/tickcast/pkg/client"
	"github.com/tickcast/tickcast/pkg/stream"
)

func TestDialSaysWhatIsWrong(t *testing.T) {
	answers := func(status int, retryAfter, body string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if retryAfter != "" {
				w.Header().Set("Retry-After", retryAfter)
			}
			http.Error(w, body, status)
		}))
		t.Cleanup(server.Close)
		return "ws" + strings.TrimPrefix(server.URL, "http") + "/v1/stream"
	}
	_, n := open(t, stream.Config{MaxConnections: 1}, "A")
	dial(t, n.url) // all that it takes
	_, free := open(t, stream.Config{}, "A")
	taken, err := net.Listen("tcp", "127.0.0.1:0") // answers nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	for _, tt := range []struct {
		name, url string
		want      error // nil: any other
		says      string
	}{
		{"not a URL", "::", nil, "missing protocol"},
		{"an http URL", "http://localhost:8080/v1/stream", nil, "no ws:// or wss:// URL"},
		{"nobody listens", "ws://127.0.0.1:1/v1/stream", nil, "refused"},
		{"another path", strings.Replace(free.url, "stream", "nothing", 1), client.ErrProtocol, "404"},
		{"no token", answers(401, "", "a token is required"), client.ErrUnauthenticated, "a token is required (401)"},
		{"a token for others", answers(403, "", "not for you"), client.ErrForbidden, "not for you (403)"},
		{"too many", answers(429, "", ""), client.ErrTooMany, "Too Many Requests (429)"},
		{"a full node", n.url, client.ErrUnavailable, "503"},
		{"a node that drains", answers(503, "7", "draining"), client.ErrUnavailable, "draining (503)"},
		{"TLS where there is none", strings.Replace(free.url, "ws:", "wss:", 1), nil, "TLS"},
		{"nobody answers", "ws://" + taken.Addr().String(), context.DeadlineExceeded, "deadline"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			c, err := client.Dial(ctx, tt.url)
			if err == nil {
				c.Close()
				t.Fatal("connected")
			}
			if tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %q, want %v that says %q", err, tt.want, tt.says)
			}
			var e *client.Error
			if strings.Contains(tt.name, "drains") && (!errors.As(err, &e) || e.RetryAfter != 7*time.Second) {
				t.Errorf("retry time of %+v, want 7s", e)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	v, n := open(t, stream.Config{}, "A")
	certs := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	t.Cleanup(certs.Close)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certs.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	r := startRelay(t, n, l, "wss://"+l.Addr().String())
	if _, err := client.Dial(t.Context(), r.url); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown root: %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certs.Certificate())
	c := dial(t, r.url, client.WithTLSConfig(&tls.Config{RootCAs: roots}))
	subscribe(t, c, tradesOf("A"))
	next[client.Snapshot](t, c)
	r.cut()
	v.trades("A", 1)
	next[client.Trade](t, c)
}

func TestADeadLinkIsNoticed(t *testing.T) {
	v, n := open(t, stream.Config{Heartbeat: 100 * time.Millisecond}, "A")
	r := newRelay(t, n)
	var told states
	c := dial(t, r.url, told.option())
	subscribe(t, c, tradesOf("A"))
	next[client.Snapshot](t, c)
	r.mute() // and nothing is closed
	v.trades("A", 1)
	if tr := next[client.Trade](t, c); tr.Seq != 1 {
		t.Errorf("got %+v, want seq 1", tr)
	}
	if len(told.have(client.StateReconnecting, client.ErrSilent)) != 1 {
		t.Errorf("want one silent link, got %+v", told.all)
	}
}

// A program that does not take its events is the node's business: it applies the policy, and
// the client passes on what it says.
func TestASlowProgramIsToldWhatItMissed(t *testing.T) {
	v, n := open(t, stream.Config{PendingBytes: 4 << 10, SlowTimeout: time.Hour}, "A", "B")
	for _, tt := range []struct {
		name   string
		policy client.Policy
		sees   func(l *ledger, summaries int) bool
	}{
		{"drop oldest", client.PolicyDropOldest, func(l *ledger, _ int) bool { return l.why[client.ReasonSlow] > 0 }},
		{"drop newest", client.PolicyDropNewest, func(l *ledger, _ int) bool { return l.why[client.ReasonSlow] > 0 }},
		{"aggregate", client.PolicyAggregate, func(l *ledger, summaries int) bool { return summaries > 0 && l.missed == 0 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRelay(t, n)
			r.set(func() { r.narrow = true })
			var told states
			c := dial(t, r.url, client.WithBacklog(1), told.option())
			s := tradesOf("A")
			s.Policy = tt.policy
			subscribe(t, c, s)
			books := newLedger()
			if err := books.enter(next[client.Snapshot](t, c)); err != nil {
				t.Fatal(err)
			}
			for range 400 { // 20,000 trades are more than the kernel holds
				v.trades("A", 50)
			}
			subscribe(t, c, tradesOf("B")) // is answered, whatever waits
			v.trades("A", 1)
			summaries := 0
			read(t, c, "the last trade", func(ev client.Event) bool {
				if s, ok := ev.(client.Snapshot); ok && s.Stream.Symbol == "B" {
					return false
				}
				if _, ok := ev.(client.Aggregate); ok {
					summaries++
				}
				if err := books.enter(ev); err != nil {
					t.Fatal(err)
				}
				return books.last["A"] == v.seqs[client.Stream{Symbol: "A"}]
			})
			if !tt.sees(books, summaries) || books.why[client.ReasonUnexplained] > 0 {
				t.Errorf("%d trades, %d summaries, %d missed because %v", books.trades, summaries, books.missed, books.why)
			}
			if lost := told.have(client.StateReconnecting, nil); len(lost) > 0 {
				t.Errorf("a slow program lost its link: %+v", lost)
			}
		})
	}
}

// Only a link that has nothing to read can be silent.
func TestAProgramThatPausesKeepsItsLink(t *testing.T) {
	v, n := open(t, stream.Config{Heartbeat: 100 * time.Millisecond}, "A")
	var told states
	c := dial(t, n.url, client.WithBacklog(1), told.option())
	subscribe(t, c, tradesOf("A"))
	next[client.Snapshot](t, c)
	clock := dial(t, n.url)
	if err := clock.Stats(t.Context(), 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for range 5 { // two and a half times as long as a link may be silent
		v.trades("A", 3)
		next[client.Stat](t, clock)
	}
	for seq := range v.seqs[client.Stream{Symbol: "A"}] {
		if tr := next[client.Trade](t, c); tr.Seq != seq+1 {
			t.Fatalf("got seq %d, want %d", tr.Seq, seq+1)
		}
	}
	if lost := told.have(client.StateReconnecting, nil); len(lost) > 0 {
		t.Errorf("the link was given up: %+v", lost)
	}
}

func TestASlowProgramThatIsCutComesBack(t *testing.T) {
	v, n := open(t, stream.Config{PendingBytes: 4 << 10, SlowTimeout: time.Hour}, "A")
	r := newRelay(t, n)
	r.set(func() { r.narrow = true })
	var told states
	c := dial(t, r.url, client.WithBacklog(1), told.option())
	s := tradesOf("A")
	s.Policy = client.PolicyDisconnect
	subscribe(t, c, s)
	books := newLedger()
	if err := books.enter(next[client.Snapshot](t, c)); err != nil {
		t.Fatal(err)
	}
	for range 400 {
		v.trades("A", 50)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := books.follow(ctx, c, v); err != nil {
		t.Fatal(err)
	}
	if len(told.have(client.StateReconnecting, nil)) == 0 {
		t.Errorf("it was not cut: %+v", told.all)
	}
}

// What claims to be a node and is none costs an error, not the program.
func TestAPeerThatBreaksTheProtocol(t *testing.T) {
	for _, tt := range []struct {
		name  string
		frame string
		want  error
	}{
		{"a length with its top bit set", "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", client.ErrProtocol},
		{"no batch", "\x82\x01\xc1", client.ErrProtocol},
		{"an empty batch", "\x82\x01\x90", client.ErrProtocol},
		{"no hello first", "\x82\x06\x91\x92\xa2hb\x01", client.ErrProtocol},
		{"a hello without a heartbeat", "\x82\x09\x91\x92\xa5hello\x80", client.ErrProtocol},
		{"its end", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(upgradeThen(gws.BuiltinEventHandler{}, func(ws *gws.Conn) {
				_, _ = io.WriteString(ws.NetConn(), tt.frame)
				_ = ws.NetConn().Close()
			}))
			t.Cleanup(server.Close)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			c, err := client.Dial(ctx, "ws"+strings.TrimPrefix(server.URL, "http"))
			if err == nil {
				c.Close()
				t.Fatal("connected")
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}
