package stream

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tickcast/tickcast/pkg/auth"
	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
)

// Who sends one wrong token after the other waits longer and longer for the next check.
func TestWrongTokensAreCheckedMoreAndMoreSlowly(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("secret", 8)), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		verifier, err := auth.New(auth.Config{KeyFile: key})
		if err != nil {
			t.Fatal(err)
		}
		h := newHandShard(t, Config{})
		s := h.subscriber(codec.MsgPack, backpressure.DropOldest).s
		var failures [len(authReasons)]atomic.Int64
		s.rights = &rights{gate: &gate{
			Verifier: verifier, timeout: time.Minute, ctx: t.Context(), failures: &failures,
			begin: func(f func()) bool { go f(); return true },
		}}
		var waits []time.Duration
		for range 10 {
			asked := time.Now()
			s.authenticate(&codec.Request{Op: codec.OpAuth, Token: "x"})
			for synctest.Wait(); s.rights.checking; synctest.Wait() {
				if h.turn(); s.rights.checking {
					time.Sleep(retryWaitMin)
				}
			}
			waits = append(waits, time.Since(asked))
		}
		const ms = time.Millisecond
		if want := []time.Duration{0, 0, 0, 50 * ms, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1000 * ms, 1000 * ms}; !slices.Equal(waits, want) {
			t.Errorf("checks came after %v, want %v", waits, want)
		}
		if n := failures[authRefused].Load(); n != 10 {
			t.Errorf("%d were counted", n)
		}
	})
}
