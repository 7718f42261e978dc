package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tickcast/tickcast/pkg/auth"
	"github.com/tickcast/tickcast/pkg/client"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/stream"
)

var secret = []byte("a secret of no less than thirty-two bytes")

// sign makes a token of its own name that lets the holder see the symbols until exp.
func sign(t *testing.T, name string, exp time.Time, symbols ...string) string {
	t.Helper()
	return signRights(t, name, exp, map[string]any{"symbols": symbols})
}

func signRights(t *testing.T, name string, exp time.Time, rights map[string]any) string {
	t.Helper()
	claims := jwt.MapClaims{"jti": name, "exp": exp.Unix(), "tickcast": rights}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// openGuarded starts a venue with A and B, and a node that asks for tokens; deny revokes one.
func openGuarded(t *testing.T) (v *venue, n *node, deny func(name string)) {
	t.Helper()
	dir := t.TempDir()
	key, denied := filepath.Join(dir, "key"), filepath.Join(dir, "denied")
	must(os.WriteFile(key, secret, 0o600))
	must(os.WriteFile(denied, nil, 0o600))
	verifier, err := auth.New(auth.Config{KeyFile: key, DenyFile: denied})
	must(err)
	v = openVenue()
	t.Cleanup(v.Close)
	n = v.node(stream.Config{Auth: verifier})
	t.Cleanup(n.stop)
	for _, symbol := range []string{"A", "B"} {
		must(v.Announce(symbol, market.AllChannels()))
	}
	usher := client.WithToken(sign(t, "usher", anHour(), "*"))
	await(t, "the symbols to be known", func() bool {
		known, err := client.Symbols(t.Context(), n.url, usher)
		must(err)
		return len(known) == 2
	})
	return v, n, func(name string) { must(os.WriteFile(denied, []byte("jti:"+name+"\n"), 0o600)) }
}

func anHour() time.Time { return time.Now().Add(time.Hour) }

func TestATokenOpensWhatItAllows(t *testing.T) {
	v, n, _ := openGuarded(t)
	c := dial(t, n.url, client.WithToken(sign(t, "1", anHour(), "A")))
	err := c.Subscribe(t.Context(), tradesOf("A", "B"))
	var rejected *client.RejectedError
	if !errors.As(err, &rejected) || len(rejected.Symbols) != 1 || !errors.Is(rejected.Symbols["B"], client.ErrForbidden) {
		t.Fatalf("got %v, want B forbidden", err)
	}
	next[client.Snapshot](t, c)
	v.trades("B", 1)
	v.trades("A", 1)
	if tr := next[client.Trade](t, c); tr.Symbol != "A" {
		t.Errorf("got %+v", tr)
	}
}

func TestANodeTurnsTokensAway(t *testing.T) {
	_, n, deny := openGuarded(t)
	revoked := sign(t, "revoked", anHour(), "*")
	dial(t, n.url, client.WithToken(revoked)).Close()
	deny("revoked")
	await(t, "the list to be read", func() bool {
		_, err := client.Symbols(t.Context(), n.url, client.WithToken(revoked))
		return errors.Is(err, client.ErrUnauthenticated)
	})
	for _, tt := range []struct {
		name string
		opts []client.Option
	}{
		{"none", nil},
		{"one that ran out", []client.Option{client.WithToken(sign(t, "old", time.Now().Add(-time.Minute), "*"))}},
		{"one that is none", []client.Option{client.WithToken("abc")}},
		{"a revoked one", []client.Option{client.WithToken(revoked)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := client.Dial(t.Context(), n.url, tt.opts...)
			if !errors.Is(err, client.ErrUnauthenticated) {
				t.Errorf("got %v, want ErrUnauthenticated", err)
			}
			if err == nil {
				c.Close()
			}
		})
	}
}

// The node knows the true ends of these tokens; the client is told earlier ones.
func TestRenewalsKeepTheConnection(t *testing.T) {
	v, n, deny := openGuarded(t)
	var told states
	var asked atomic.Int64
	c := dial(t, n.url, told.option(), client.WithTokenSource(func(context.Context) (client.Token, error) {
		name := fmt.Sprint(asked.Add(1))
		return client.Token{Value: sign(t, name, anHour(), "*"), Expires: time.Now().Add(100 * time.Millisecond)}, nil
	}))
	subscribe(t, c, tradesOf("A"))
	next[client.Snapshot](t, c)
	await(t, "renewals", func() bool { return asked.Load() >= 3 })
	subscribe(t, c, tradesOf("B")) // is answered behind the second token
	next[client.Snapshot](t, c)
	deny("1") // has been replaced: nobody is sent away
	await(t, "the list to be read", func() bool {
		_, err := client.Symbols(t.Context(), n.url, client.WithToken(sign(t, "1", anHour(), "*")))
		return errors.Is(err, client.ErrUnauthenticated)
	})
	v.trades("A", 3)
	for range 3 {
		next[client.Trade](t, c)
	}
	if again := told.have(client.StateReconnecting, nil); len(again) > 0 {
		t.Errorf("the connection was given up: %+v", again)
	}
}

// The node tells of it in words, by an err that answers no request.
func TestStreamsThatANewTokenDoesNotAllowEndAndSoTheProgramIsTold(t *testing.T) {
	const all, a, b = client.Wildcard, "A", "B"
	for _, tt := range []struct {
		name    string
		symbols []string // subscribed one after the other
		rights  map[string]any
		err     error
		ended   []string
		goesOn  string
	}{
		{"another symbol", []string{a, b}, map[string]any{"symbols": []string{a}}, client.ErrForbidden, []string{b}, a},
		{"fewer symbols", []string{a, b}, map[string]any{"symbols": []string{all}, "max_symbols": 1}, client.ErrTooManySymbols, []string{b}, a},
		{"a channel less", []string{all}, map[string]any{"symbols": []string{all}, "channels": []string{"quote"}}, client.ErrForbidden, []string{all}, ""},
		{"fewer symbols beside a wildcard", []string{all, a, b}, map[string]any{"symbols": []string{all}, "max_symbols": 1}, nil, nil, b},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, n, _ := openGuarded(t)
			var renewed atomic.Bool
			less := make(chan struct{})
			c := dial(t, n.url, client.WithTokenSource(func(ctx context.Context) (client.Token, error) {
				if renewed.Swap(true) {
					select {
					case <-less:
					case <-ctx.Done():
					}
					return client.Token{Value: signRights(t, "2", anHour(), tt.rights)}, ctx.Err()
				}
				return client.Token{Value: sign(t, "1", anHour(), all), Expires: time.Now().Add(time.Millisecond)}, nil
			}))
			for _, symbol := range tt.symbols {
				subscribe(t, c, tradesOf(symbol))
			}
			close(less)
			var ended []string
			for range tt.ended {
				read(t, c, "the streams' end", func(ev client.Event) bool {
					lost, ok := ev.(client.Refused)
					if ok && errors.Is(lost.Err, tt.err) {
						ended = append(ended, lost.Stream.Symbol)
					}
					return ok
				})
			}
			if !slices.Equal(ended, tt.ended) {
				t.Errorf("%v ended, want %v", ended, tt.ended)
			}
			if tt.goesOn == "" {
				return
			}
			await(t, "the second token to hold", func() bool { return c.Subscribe(t.Context(), barsOf(b)) != nil })
			v.trades(tt.goesOn, 1)
			read(t, c, "the next trade", func(ev client.Event) bool {
				if lost, ok := ev.(client.Refused); ok && lost.Stream.Channel == client.ChannelTrade {
					t.Errorf("ended too: %+v", lost)
				}
				tr, ok := ev.(client.Trade)
				return ok && tr.Symbol == tt.goesOn
			})
		})
	}
}

// barsOf asks for what every second token refuses.
func barsOf(symbol string) client.Subscription {
	return client.Subscription{Channels: []client.Channel{client.ChannelBar}, Symbols: []string{symbol}}
}

func TestATokenThatEndsIsReplacedAndNothingIsMissed(t *testing.T) {
	v, n, deny := openGuarded(t)
	for _, tt := range []struct {
		name  string
		lasts time.Duration
		end   func()
	}{
		{"ran out", 4 * time.Second, func() {}},
		{"revoked", time.Hour, func() { deny("revoked") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var told states
			tokens := make(chan string, 2)
			tokens <- sign(t, tt.name, time.Now().Add(tt.lasts), "A")
			tokens <- sign(t, "next", anHour(), "A")
			c := dial(t, n.url, told.option(), client.WithTokenSource(func(context.Context) (client.Token, error) {
				return client.Token{Value: <-tokens, Expires: anHour()}, nil // which is not so, and believed
			}))
			subscribe(t, c, tradesOf("A"))
			next[client.Snapshot](t, c)
			from := v.seqs[client.Stream{Symbol: "A"}]
			tt.end()
			for i := 0; len(told.have(client.StateReconnecting, client.ErrUnauthenticated)) == 0; i++ {
				v.trades("A", 1)
				if tr := next[client.Trade](t, c); tr.Seq != from+int64(i)+1 {
					t.Fatalf("got %d, want %d", tr.Seq, from+int64(i)+1)
				}
			}
			v.trades("A", 1)
			last := v.seqs[client.Stream{Symbol: "A"}]
			got := next[client.Trade](t, c)
			for got.Seq < last {
				after := next[client.Trade](t, c)
				if after.Seq != got.Seq+1 {
					t.Fatalf("%d follows %d", after.Seq, got.Seq)
				}
				got = after
			}
		})
	}
}

func TestAClientWhoseTokenIsRevokedEnds(t *testing.T) {
	_, n, deny := openGuarded(t)
	var told states
	var asked atomic.Int64
	token := sign(t, "1", anHour(), "*")
	c := dial(t, n.url, told.option(), client.WithTokenSource(func(context.Context) (client.Token, error) {
		asked.Add(1)
		return client.Token{Value: token}, nil
	}))
	subscribe(t, c, tradesOf("A"))
	next[client.Snapshot](t, c)
	deny("1")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ev, err := range c.Events(ctx) {
		var refusal *client.Error
		if ev != nil || !errors.Is(err, client.ErrUnauthenticated) || !errors.As(err, &refusal) {
			t.Errorf("got %v, %v", ev, err)
		}
	}
	if err := c.Subscribe(ctx, tradesOf("B")); !errors.Is(err, client.ErrUnauthenticated) {
		t.Errorf("Subscribe after it: %v", err)
	}
	if got := asked.Load(); got != 1+3 || len(told.have(client.StateClosed, client.ErrUnauthenticated)) != 1 {
		t.Errorf("asked for %d tokens, states %+v", got, told.all)
	}
}
