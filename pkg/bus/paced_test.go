package bus

import (
	"testing"
	"time"
)

// TestTheNextReadComesInTime states that who needs messages earlier gets them, and nobody later.
func TestTheNextReadComesInTime(t *testing.T) {
	latest := time.Now()
	for _, tt := range []struct {
		name     string
		by, want time.Time
	}{
		{"nobody waits", time.Time{}, latest},
		{"somebody waits", latest.Add(-time.Second), latest.Add(-time.Second)},
		{"somebody waits for later", latest.Add(time.Second), latest},
	} {
		b := new(Bus)
		if got := b.nextRead(latest); !got.Equal(latest) {
			t.Errorf("nobody asked: got %v, want %v", got, latest)
		}
		b.ReadBy(func() time.Time { return tt.by })
		if got := b.nextRead(latest); !got.Equal(tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}
