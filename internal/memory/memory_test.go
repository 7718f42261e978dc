package memory

import "testing"

func TestRoomIsOfBytesNotOfShares(t *testing.T) {
	for _, tt := range []struct {
		name string
		live uint64
		want int
	}{
		{"a process that has just begun", 0, 200},
		{"few connections collect seldom", 2 << 20, 200},
		{"room as large as the heap", 8 << 20, 100},
		{"thousands of connections", 16 << 20, 50},
		{"so many that collecting must stay cheap", 1 << 30, 40},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := percent(tt.live); got != tt.want {
				t.Errorf("percent(%d) = %d, want %d", tt.live, got, tt.want)
			}
		})
	}
}
