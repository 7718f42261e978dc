// Package waiting is how tests wait for what nothing announces: they look until it is so.
package waiting

import (
	"testing"
	"time"
)

// Patience is reached only when something is broken: a machine that is busy with other tests
// may take half a minute for what takes milliseconds.
const Patience = time.Minute

// For returns when ok says so, and ends the test when it has not within Patience.
func For(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
