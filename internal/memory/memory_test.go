package memory

import "testing"

func TestRoomIsForGarbage(t *testing.T) {
	for _, tt := range []struct {
		name            string
		live, allocated uint64
		price           float64
		want            int
	}{
		{"a process that has just begun", 0, 0, 0, 200},
		{"few connections", 4 << 20, 1 << 20, 0, 100},
		{"few connections, much garbage", 4 << 20, 30 << 20, 0, 200},
		{"thousands of connections", 16 << 20, 1 << 20, 0, 25},
		{"thousands of connections, much garbage", 16 << 20, 32 << 20, 0, 100},
		{"collecting costs a hundredth of the time", 16 << 20, 8 << 20, 0.005, 25},
		{"it would cost a fifth", 100 << 20, 50 << 20, 0.1, 100},
		{"it would cost more than there is time", 100 << 20, 50 << 20, 1, 200},
		{"so many that collecting must stay cheap", 1 << 30, 1 << 20, 0, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := percent(tt.live, tt.allocated, tt.price); got != tt.want {
				t.Errorf("percent(%d, %d, %v) = %d, want %d", tt.live, tt.allocated, tt.price, got, tt.want)
			}
		})
	}
}
