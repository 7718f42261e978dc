package stream_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/lxzan/gws"

	"github.com/tickcast/tickcast/pkg/auth"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

var secret = []byte("a secret of no less than thirty-two bytes")

// token signs a token for the entitlement; pairs change other claims, or take them out by nil.
func token(t *testing.T, entitlement string, pairs ...any) string {
	t.Helper()
	c := jwt.MapClaims{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix(), "tickcast": jsonOf(entitlement)}
	for i := 0; i < len(pairs); i += 2 {
		c[pairs[i].(string)] = pairs[i+1]
	}
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type jsonOf string

func (j jsonOf) MarshalJSON() ([]byte, error) { return []byte(j), nil }

// A guardedRig is a rig whose node asks for tokens.
type guardedRig struct {
	*rig
	denyFile string
}

func newGuardedRig(t *testing.T, cfg stream.Config) guardedRig {
	t.Helper()
	dir := t.TempDir()
	g := guardedRig{denyFile: filepath.Join(dir, "deny")}
	key := filepath.Join(dir, "key")
	for name, text := range map[string][]byte{key: secret, g.denyFile: nil} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if cfg.Auth, err = auth.New(auth.Config{KeyFile: key, DenyFile: g.denyFile}); err != nil {
		t.Fatal(err)
	}
	g.rig = newRig(t, cfg)
	return g
}

// announce is the rig's, by a token that sees everything.
func (g guardedRig) announce(symbols ...string) {
	g.t.Helper()
	for _, s := range symbols {
		if err := g.bus.Announce(s, market.AllChannels()); err != nil {
			g.t.Fatal(err)
		}
	}
	all := token(g.t, `{}`, "sub", "announcer")
	g.await("the symbols to be known", func() bool {
		_, body := g.ask("/v1/symbols", all)
		return !slices.ContainsFunc(symbols, func(s string) bool { return !strings.Contains(body, fmt.Sprintf("%q", s)) })
	})
}

// ask gets a page with a token, or without if it is empty.
func (g guardedRig) ask(path, token string) (status int, body string) {
	g.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http"+strings.TrimPrefix(g.url, "ws")+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := pages.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// enter connects with the token on the upgrade request.
func (g guardedRig) enter(token string) *client {
	g.t.Helper()
	o := dialOptions(g.url, codec.JSON.Subprotocol())
	o.RequestHeader.Set("Authorization", "Bearer "+token)
	return g.dialWith(codec.JSON, o)
}

// knock tries to connect and returns the HTTP status.
func (g guardedRig) knock(header http.Header, query string) int {
	g.t.Helper()
	o := dialOptions(g.url, codec.JSON.Subprotocol())
	o.Addr += query
	maps.Copy(o.RequestHeader, header)
	ws, resp, err := gws.NewClient(&gws.BuiltinEventHandler{}, o)
	if ws != nil {
		_ = ws.NetConn().Close()
	}
	if resp == nil {
		g.t.Fatal(err)
	}
	return resp.StatusCode
}

func (c *client) hello() codec.Hello { return c.seen[0].(codec.Hello) }

// authenticate sends the token in a request and returns the answer: an ack or an error.
func (c *client) authenticate(token string) codec.Event {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"op":"auth","id":5,"token":%q}`, token))
	for {
		switch ev := c.next().(type) {
		case codec.Ack, codec.Error:
			return ev
		}
	}
}

func (c *client) mustAuthenticate(token string) {
	c.t.Helper()
	if _, ok := c.authenticate(token).(codec.Ack); !ok {
		c.t.Fatalf("the token is refused: %v", c.seen[len(c.seen)-1])
	}
}

// farewell wants bye, whatever comes before it, and the close code.
func (c *client) farewell(code uint16) {
	c.t.Helper()
	for {
		if bye, ok := c.next().(codec.Bye); ok {
			if bye.Code != int(code) {
				c.t.Errorf("bye %d, want %d", bye.Code, code)
			}
			break
		}
	}
	if got := c.closeCode(); got != code {
		c.t.Errorf("closed with %d, want %d", got, code)
	}
}

func TestHelloSaysWhetherATokenIsWanted(t *testing.T) {
	if got := newRig(t, stream.Config{}).dial(codec.JSON).hello().Auth; got != "none" {
		t.Errorf("without auth: %q", got)
	}
	g := newGuardedRig(t, stream.Config{MaxSymbols: 50})
	if h := g.dial(codec.MsgPack).hello(); h.Auth != "required" || h.MaxSymbols != 50 {
		t.Errorf("without a token: %+v", h)
	}
	if h := g.enter(token(t, `{"max_symbols":7}`)).hello(); h.Auth != "ok" || h.MaxSymbols != 7 {
		t.Errorf("with a token: %+v", h)
	}
}

func TestTokensOnTheUpgrade(t *testing.T) {
	g := newGuardedRig(t, stream.Config{})
	good, old := token(t, `{}`), token(t, `{}`, "exp", time.Now().Add(-time.Hour).Unix())
	for _, tt := range []struct {
		name  string
		auth  []string
		query string
		want  int
	}{
		{"a good one", []string{"Bearer " + good}, "", 101},
		{"the scheme in small letters", []string{"bearer " + good}, "", 101},
		{"none: it may come later", nil, "", 101},
		{"in the URL, where it does not count", nil, "?token=" + old, 101},
		{"run out", []string{"Bearer " + old}, "", 401},
		{"run out, and a good one in the URL", []string{"Bearer " + old}, "?token=" + good, 401},
		{"nonsense", []string{"Bearer x"}, "", 401},
		{"another scheme", []string{"Basic YTpi"}, "", 401},
		{"empty", []string{"Bearer"}, "", 401},
		{"two", []string{"Bearer " + good, "Bearer " + good}, "", 401},
	} {
		if got := g.knock(http.Header{"Authorization": tt.auth}, tt.query); got != tt.want {
			t.Errorf("%s: status %d, want %d", tt.name, got, tt.want)
		}
	}
	o := dialOptions(g.url+"/", codec.JSON.Subprotocol())
	o.Addr = g.url + "/v1/stream?token=" + good
	if got := g.dialWith(codec.JSON, o).hello().Auth; got != "required" {
		t.Errorf("a token in the URL: hello says %q", got)
	}
}

func TestNothingBeforeAuth(t *testing.T) {
	g := newGuardedRig(t, stream.Config{})
	g.announce("A")
	c := g.dial(codec.JSON)
	for _, req := range []string{
		`{"op":"subscribe","id":1,"channels":["trade"],"symbols":["A"]}`, `{"op":"subscribe","id":1,"channels":["trade"],"symbols":["*"]}`,
		`{"op":"unsubscribe","id":1,"channels":["trade"],"symbols":["A"]}`, `{"op":"ping","id":1}`, `{"op":"stats","id":1,"every_ms":10}`,
	} {
		c.send(req)
		if e := nextOf[codec.Error](c); e.Code != codec.CodeUnauthenticated || e.ID == nil || *e.ID != 1 {
			t.Errorf("%s: %+v", req, e)
		}
	}
	for range 2 {
		if e, ok := c.authenticate("nonsense").(codec.Error); !ok || e.Code != codec.CodeUnauthenticated {
			t.Errorf("a bad token: %+v", e)
		}
	}
	c.mustAuthenticate(token(t, `{}`))
	c.begin(`"channels":["trade"],"symbols":["A"]`, 1)
	if seq := g.trade("A"); nextOf[market.Trade](c).Seq != seq {
		t.Error("another trade")
	}
}

// Requests may follow an auth at once: they wait for it.
func TestRequestsBehindAnAuth(t *testing.T) {
	g := newGuardedRig(t, stream.Config{})
	g.announce("A")
	c := g.dial(codec.JSON)
	c.send(fmt.Sprintf(`{"op":"auth","id":1,"token":%q}`, token(t, `{"symbols":["A"]}`)))
	c.send(`{"op":"subscribe","id":2,"channels":["trade"],"symbols":["A","B"]}`)
	c.send(`{"bad`)
	c.send(`{"op":"auth","id":3,"token":"nonsense"}`)
	c.send(`{"op":"ping","id":4}`)
	if a := nextOf[codec.Ack](c); *a.ID != 1 || len(a.Channels) != 0 {
		t.Errorf("auth: %+v", a)
	}
	if a := nextOf[codec.Ack](c); *a.ID != 2 || len(a.Symbols) != 1 || a.Rejected["B"] != codec.CodeForbidden {
		t.Errorf("subscribe: %+v", a)
	}
	var rest []string
	for len(rest) < 3 {
		switch ev := c.next().(type) {
		case codec.Error:
			rest = append(rest, fmt.Sprint(ev.Code))
		case codec.Pong:
			rest = append(rest, "pong")
		}
	}
	if got := strings.Join(rest, " "); got != "4400 4401 pong" {
		t.Errorf("got %s", got) // a token that is refused leaves the one before it in force
	}
}

func TestUnauthenticatedSessionsAreCounted(t *testing.T) {
	g := newGuardedRig(t, stream.Config{})
	one, two := g.dial(codec.JSON), g.dial(codec.JSON)
	g.enter(token(t, `{}`)) // counts nowhere
	g.expect(map[string]float64{"connections": 3, "unauthenticated_connections": 2})
	one.authenticate("nonsense")
	one.mustAuthenticate(token(t, `{}`))
	one.mustAuthenticate(token(t, `{}`))
	g.expect(map[string]float64{"unauthenticated_connections": 1})
	_ = two.ws.NetConn().Close()
	g.expect(map[string]float64{"connections": 2, "unauthenticated_connections": 0})
}

func TestAuthTimeout(t *testing.T) {
	g := newGuardedRig(t, stream.Config{AuthTimeout: 100 * time.Millisecond})
	c := g.dial(codec.JSON)
	_ = c.ws.WriteString(`{"op":"auth","id":5,"token":"nonsense"}`) // on a slow machine it is over by now
	c.farewell(4401)
	g.enter(token(t, `{}`)).quiet("a token on the upgrade is in time")
}

func TestTokenThatRunsOut(t *testing.T) {
	g := newGuardedRig(t, stream.Config{})
	soon := func() string { return token(t, `{}`, "exp", time.Now().Add(4*time.Second).Unix()) }
	one, other, renewed := g.enter(soon()), g.dial(codec.JSON), g.enter(soon())
	other.mustAuthenticate(soon())
	renewed.mustAuthenticate(token(t, `{}`))
	one.farewell(4401)
	other.farewell(4401)
	renewed.quiet("a fresh token came in time")
}

// A token without an end, or with one in milliseconds as some issuers have it by mistake, lasts.
func TestTokenThatDoesNotRunOut(t *testing.T) {
	g := newGuardedRig(t, stream.Config{})
	g.announce("A")
	for name, exp := range map[string]any{"none": nil, "in milliseconds": time.Now().Add(time.Hour).UnixMilli(), "the last that is read": int64(1e15)} {
		c, later := g.enter(token(t, `{}`, "exp", exp)), g.dial(codec.JSON)
		later.mustAuthenticate(token(t, `{}`, "exp", exp))
		for _, who := range []*client{c, later} {
			who.begin(`"channels":["trade"],"symbols":["A"]`, 1)
			who.quiet(name)
		}
	}
}

func TestRevokedTokenEndsItsConnections(t *testing.T) {
	g := newGuardedRig(t, stream.Config{})
	one, two := g.enter(token(t, `{}`, "jti", "t-1")), g.enter(token(t, `{}`, "jti", "t-2"))
	waiting := g.dial(codec.JSON)
	if err := os.WriteFile(g.denyFile, []byte("jti:t-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	one.farewell(4401)
	two.quiet("another token")
	waiting.authenticate(token(t, `{}`, "jti", "t-1"))
	if e, ok := waiting.seen[len(waiting.seen)-1].(codec.Error); !ok || e.Code != codec.CodeUnauthenticated {
		t.Errorf("a revoked token is let in: %v", waiting.seen)
	}
	if status, _ := g.ask("/v1/symbols", token(t, `{}`, "jti", "t-1")); status != http.StatusUnauthorized {
		t.Errorf("a revoked token reads a page: %d", status)
	}
}

func TestConnectionsOfAToken(t *testing.T) {
	g := newGuardedRig(t, stream.Config{PerToken: 3})
	two := token(t, `{"max_connections":2}`)
	first, second := g.enter(two), g.dial(codec.JSON)
	second.mustAuthenticate(two)
	second.mustAuthenticate(two) // again, in its own place
	if got := g.knock(http.Header{"Authorization": {"Bearer " + two}}, ""); got != http.StatusTooManyRequests {
		t.Errorf("a third connection: status %d", got)
	}
	third := g.dial(codec.JSON)
	if e, ok := third.authenticate(two).(codec.Error); !ok || e.Code != codec.CodeTooMany {
		t.Errorf("a third connection by request: %+v", e)
	}
	third.mustAuthenticate(token(t, `{}`)) // the same subject, and the node's own bound
	if got := g.knock(http.Header{"Authorization": {"Bearer " + token(t, `{}`)}}, ""); got != http.StatusTooManyRequests {
		t.Errorf("a fourth connection: status %d", got)
	}
	if got := g.knock(http.Header{"Authorization": {"Bearer " + token(t, `{"max_connections":0}`, "sub", "bob")}}, ""); got != http.StatusTooManyRequests {
		t.Errorf("a token for no connection: status %d", got)
	}
	_ = first.ws.NetConn().Close()
	_ = second.ws.NetConn().Close()
	g.await("their places to be free", func() bool { return g.knock(http.Header{"Authorization": {"Bearer " + two}}, "") == 101 })
}
