//go:build browser

package web_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/golang-jwt/jwt/v5"
)

var secret = []byte("a secret of no less than thirty-two bytes")

// sign makes a token of its own name, for symbols that begin with A.
func sign(t *testing.T, name string, lasts time.Duration) string {
	t.Helper()
	claims := jwt.MapClaims{
		"jti": name, "exp": time.Now().Add(lasts).Unix(), "tickcast": map[string]any{"symbols": []string{"A*"}},
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestAPageWithATokenToGive(t *testing.T) {
	t.Parallel()
	needPage(t)
	dir := t.TempDir()
	key, denied := filepath.Join(dir, "key"), filepath.Join(dir, "denied")
	for name, text := range map[string][]byte{key: secret, denied: nil} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	node := startNode(t, buildStreamer(t), "127.0.0.1:0",
		append(slices.Clone(patient), "--auth", "jwt", "--jwt-key-file", key, "--jwt-deny-file", denied)...)
	tab := openTab(t)
	tab.do(t, "size the window", chromedp.EmulateViewport(1440, 900))
	tab.visit("http://" + node.addr + "/")
	give := func(t *testing.T, token string) {
		t.Helper()
		tab.keys(t, "#token", token+"\r")
	}
	allowed := func(t *testing.T) {
		t.Helper()
		tab.waitForState(t, "live")
		eventually(t, "what the token allows", func() bool {
			shown := tab.symbols(t)
			return slices.Contains(shown, "AAPL") && !slices.ContainsFunc(shown, func(s string) bool { return !strings.HasPrefix(s, "A") })
		})
		eventually(t, "its prices", func() bool { return tab.row(t, "AAPL").Last != "" && tab.row(t, "AAPL").Bid != "" })
	}
	runSteps(t, tab, []step{
		{"asks for one, and the reader can type at once", func(t *testing.T) {
			tab.waitForState(t, "closed")
			tab.waitForText(t, "#banner", has("The node asks for a token."))
			if at := eval[string](t, tab, `document.activeElement.id`); at != "token" {
				t.Errorf("the focus is on %q", at)
			}
			tab.shoot(t, "token.png", 390, 844, "dark")
			tab.do(t, "size the window", chromedp.EmulateViewport(1440, 900))
		}},
		{"says that one was refused, and asks for another", func(t *testing.T) {
			give(t, "abc")
			tab.waitForText(t, "#banner", has("(4401)"))
			tab.waitForState(t, "closed")
		}},
		{"shows what a good one allows", func(t *testing.T) {
			give(t, sign(t, "first", 30*time.Second)) // 24 s after now the page asks for another
			allowed(t)
			tab.keys(t, "#query", "BTC/USD\r")
			eventually(t, "a rejection", func() bool { return tab.row(t, "BTC/USD").Note == "not allowed (4403)" })
			tab.click(t, `#rows tr[data-symbol="BTC/USD"] button`)
			tab.click(t, `#scope [value="all"]`)
		}},
		{"is given the next one before it ends, and goes on", func(t *testing.T) {
			session := tab.text(t, "#where")
			// A machine that is too busy to be in time finds the connection ended, and the other question.
			tab.waitForText(t, "#banner", func(got string) bool {
				return strings.Contains(got, "The token is about to end.") || strings.Contains(got, "asks for a token")
			})
			give(t, "abc")
			tab.waitForText(t, "#banner", has("(4401)"))
			give(t, sign(t, "second", time.Hour))
			eventually(t, "no more trouble", func() bool { return eval[bool](t, tab, `document.querySelector("#banner").hidden`) })
			allowed(t)
			if got := tab.text(t, "#where"); got != session && !strings.Contains(tab.text(t, "#log"), "Connection lost") {
				t.Errorf("%s gave way to %s", session, got)
			}
		}},
		{"ends when it is revoked, and goes on with another where it was", func(t *testing.T) {
			if err := os.WriteFile(denied, []byte("jti:second\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			tab.waitForState(t, "closed")
			tab.waitForText(t, "#banner", has("The node asks for a token."))
			give(t, sign(t, "third", time.Hour))
			allowed(t)
			tab.waitForText(t, "#log", has("missed: 0"))
			if kept := eval[[]string](t, tab, `Object.values({ ...localStorage, ...sessionStorage })`); slices.ContainsFunc(kept, isToken) ||
				isToken(eval[string](t, tab, `location.href`)) {
				t.Errorf("the token is kept: %q", kept)
			}
		}},
	})
}

func isToken(s string) bool { return strings.Contains(s, "eyJ") }
