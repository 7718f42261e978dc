package client_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/tickcast/tickcast/pkg/client"
	"github.com/tickcast/tickcast/pkg/codec"
)

// upgradeThen answers as a node would, up to what a node says first.
func upgradeThen(h gws.Event, then func(ws *gws.Conn)) http.Handler {
	up := gws.NewUpgrader(h, &gws.ServerOption{SubProtocols: []string{codec.MsgPack.Subprotocol()}})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := up.Upgrade(w, r)
		if err == nil {
			ws.Session().Store("header", r.Header.Get("Authorization"))
			then(ws)
		}
	})
}

// A gatekeeper asks for tokens, as a node behind a proxy that loses the Authorization header
// sees them: by auth requests alone. It acknowledges every other request.
type gatekeeper struct {
	gws.BuiltinEventHandler
	url string

	mu      sync.Mutex
	good    map[string]bool
	shown   []string // tokens, in the order in which they came by request
	headers []string
	authed  map[*gws.Conn]bool
	subs    int
}

func newGatekeeper(t *testing.T, good ...string) *gatekeeper {
	t.Helper()
	g := &gatekeeper{good: map[string]bool{}, authed: map[*gws.Conn]bool{}}
	for _, token := range good {
		g.good[token] = true
	}
	server := httptest.NewServer(upgradeThen(g, func(ws *gws.Conn) {
		header, _ := ws.Session().Load("header")
		g.mu.Lock()
		g.headers = append(g.headers, header.(string))
		g.mu.Unlock()
		say(ws, codec.Hello{Session: "s", Node: "n", Heartbeat: time.Minute, MaxSymbols: 10, Auth: "required"})
		ws.ReadLoop()
	}))
	t.Cleanup(server.Close)
	g.url = "ws" + strings.TrimPrefix(server.URL, "http")
	return g
}

// say sends a batch of one event, as a node would.
func say(ws *gws.Conn, ev codec.Event) {
	rec, err := codec.AppendEvent(nil, ev)
	must(err)
	var b codec.Batch
	b.Reset(codec.MsgPack, nil)
	b.AddRecord(rec)
	_ = ws.WriteMessage(gws.OpcodeBinary, b.Bytes())
}

func (g *gatekeeper) OnMessage(ws *gws.Conn, m *gws.Message) {
	q, bad := codec.DecodeRequest(codec.MsgPack, m.Bytes())
	if bad != nil {
		panic(bad)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case q.Op == codec.OpAuth:
		g.shown = append(g.shown, q.Token)
		if !g.good[q.Token] {
			say(ws, codec.Error{ID: q.ID, Code: codec.CodeUnauthenticated, Message: "the token is not good"})
			return
		}
		g.authed[ws] = true
	case !g.authed[ws]:
		panic(fmt.Sprintf("%s before auth", q.Op))
	case q.Op == codec.OpSubscribe:
		g.subs++
	}
	say(ws, codec.Ack{ID: q.ID, Channels: q.Channels, Symbols: q.Symbols})
}

// end says goodbye to everybody because a token ran out.
func (g *gatekeeper) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for ws := range g.authed {
		say(ws, codec.Bye{Code: int(codec.CodeUnauthenticated), Reason: "the token ran out"})
		_ = ws.WriteClose(uint16(codec.CodeUnauthenticated), nil)
		delete(g.authed, ws)
	}
}

func (g *gatekeeper) see(look func() bool) func() bool {
	return func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return look()
	}
}

// A mint gives each token once: "1", "2" and so on.
type mint struct {
	mu    sync.Mutex
	count int
	lasts time.Duration
}

func (m *mint) option() client.Option {
	return client.WithTokenSource(func(context.Context) (client.Token, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.count++
		token := client.Token{Value: fmt.Sprint(m.count)}
		if m.lasts > 0 {
			token.Expires = time.Now().Add(m.lasts)
		}
		return token, nil
	})
}

func TestTokensAreRenewedBeforeTheyEnd(t *testing.T) {
	g := newGatekeeper(t, "1", "2", "4") // the third is refused: the client asks for another
	c := dial(t, g.url, (&mint{lasts: 50 * time.Millisecond}).option())
	await(t, "three renewals", g.see(func() bool { return len(g.shown) >= 4 }))
	subscribe(t, c, tradesOf("A"))
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.headers) != 1 || g.headers[0] != "Bearer 1" {
		t.Errorf("want one connection with the first token in its header, got %q", g.headers)
	}
	for i, token := range g.shown[:4] {
		if want := fmt.Sprint(i + 1); token != want {
			t.Errorf("token %d is %q", i+1, token)
		}
	}
}

// claiming makes a JWT with those claims.
func claiming(claims string) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"none"}`)) + "." + part([]byte(claims)) + ".x"
}

func TestAJWTIsRenewedBeforeItsEnd(t *testing.T) {
	tokens := make([]string, 3)
	for i := range tokens {
		tokens[i] = claiming(fmt.Sprintf(`{"sub":"%d","exp":%d}`, i, time.Now().Unix()+1))
	}
	g := newGatekeeper(t, tokens...)
	var count atomic.Int64
	dial(t, g.url, client.WithTokenSource(func(context.Context) (client.Token, error) {
		return client.Token{Value: tokens[min(count.Add(1), int64(len(tokens)))-1]}, nil
	}))
	await(t, "two renewals", g.see(func() bool { return len(g.shown) >= 3 }))
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.headers) != 1 || !slices.Equal(g.shown[:3], tokens) {
		t.Errorf("want one connection and each token once, got %q, %q", g.headers, g.shown)
	}
}

func TestATokenThatRanOutIsReplaced(t *testing.T) {
	g := newGatekeeper(t, "1", "2")
	var told states
	c := dial(t, g.url, (&mint{}).option(), told.option())
	subscribe(t, c, tradesOf("A"))
	g.end()
	await(t, "the subscription to be there again", g.see(func() bool { return g.subs == 2 }))
	if len(told.have(client.StateReconnecting, client.ErrUnauthenticated)) != 1 {
		t.Errorf("got %+v", told.all)
	}
}

func TestAClientWhoseTokensAreRefusedGivesUp(t *testing.T) {
	g := newGatekeeper(t, "1")
	var told states
	c := dial(t, g.url, (&mint{}).option(), told.option())
	g.end()
	for ev, err := range c.Events(t.Context()) {
		if ev != nil || !errors.Is(err, client.ErrUnauthenticated) {
			t.Errorf("got %v, %v", ev, err)
		}
	}
	if err := c.Subscribe(t.Context(), tradesOf("A")); !errors.Is(err, client.ErrUnauthenticated) {
		t.Errorf("Subscribe after it: %v", err)
	}
	if len(told.have(client.StateClosed, client.ErrUnauthenticated)) != 1 || len(g.shown) != 1+3 {
		t.Errorf("%d tokens shown, states %+v", len(g.shown), told.all)
	}
}

func TestDialWithoutAGoodToken(t *testing.T) {
	g := newGatekeeper(t, "good")
	broken := errors.New("the issuer is away")
	for _, tt := range []struct {
		name string
		opts []client.Option
		want error
	}{
		{"none", nil, client.ErrUnauthenticated},
		{"a bad one", []client.Option{client.WithToken("bad")}, client.ErrUnauthenticated},
		{"a source that fails", []client.Option{client.WithTokenSource(func(context.Context) (client.Token, error) {
			return client.Token{}, broken
		})}, broken},
		{"a good one", []client.Option{client.WithToken("good")}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := client.Dial(t.Context(), g.url, tt.opts...)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if err == nil {
				c.Close()
			}
		})
	}
}
