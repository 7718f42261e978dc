package bus

import (
	"testing"
	"time"
)

// TestAnAlarmRings: not before its time, as often as it is asked to, and at once when it is closed.
func TestAnAlarmRings(t *testing.T) {
	a, err := newAlarm()
	must(t, err)
	for _, d := range []time.Duration{time.Millisecond, 0, 3 * time.Millisecond} {
		start := time.Now()
		if a.sleep(d); time.Since(start) < d {
			t.Errorf("slept %v of %v", time.Since(start), d)
		}
	}
	asleep := make(chan struct{})
	go func() {
		defer close(asleep)
		a.sleep(time.Hour)
	}()
	a.close()
	select {
	case <-asleep:
	case <-time.After(patience):
		t.Error("still asleep")
	}
}
