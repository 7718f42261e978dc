package contest

import "testing"

func TestSpread(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   Spread
	}{
		{nil, Spread{}},
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{3, 1}, Spread{2, 1, 3}},
		{[]float64{9, 1, 2, 3, 100}, Spread{3, 1, 100}},
	} {
		if got := NewSpread(tt.values); got != tt.want {
			t.Errorf("NewSpread(%v) = %v, want %v", tt.values, got, tt.want)
		}
	}
}
