package memory

import "testing"

func TestRoomIsForGarbage(t *testing.T) {
	for _, tt := range []struct {
		name            string
		live, allocated uint64
		want            int
	}{
		{"a process that has just begun", 0, 0, 200},
		{"few connections", 4 << 20, 1 << 20, 100},
		{"few connections, much garbage", 4 << 20, 30 << 20, 200},
		{"thousands of connections", 16 << 20, 1 << 20, 25},
		{"thousands of connections, much garbage", 16 << 20, 32 << 20, 100},
		{"so many that collecting must stay cheap", 1 << 30, 1 << 20, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := percent(tt.live, tt.allocated); got != tt.want {
				t.Errorf("percent(%d, %d) = %d, want %d", tt.live, tt.allocated, got, tt.want)
			}
		})
	}
}
