package codec

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestTimesComeBackFromAHeader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.Int64Range(math.MinInt64, math.MaxInt64)
		want := Times{ns.Draw(t, "event"), ns.Draw(t, "taken"), ns.Draw(t, "published")}
		header := want.Mark(map[string][]string{"Traceparent": {"x"}})
		if got, ok := TimesOf(header); !ok || got != want || len(header) != 2 {
			t.Fatalf("%v became %v, %v", header, got, ok)
		}
	})
}

func TestWhatIsNoTimesIsNone(t *testing.T) {
	for _, header := range []map[string][]string{
		nil, {"Traceparent": {"1 2 3"}}, {timesKey: nil}, {timesKey: {""}}, {timesKey: {"1 2"}}, {timesKey: {"1 2 3 4"}},
		{timesKey: {"1 2 9223372036854775808"}}, {timesKey: {"1  2 3"}}, {timesKey: {"1 2 x"}}, {timesKey: {"x 2 3"}},
	} {
		if got, ok := TimesOf(header); ok {
			t.Errorf("%v gave %v", header, got)
		}
	}
}

// FuzzTimes: a header comes from outside, and gives times that it brings back, or none.
func FuzzTimes(f *testing.F) {
	f.Add("1 2 3")
	f.Add("-1 +2 9223372036854775807")
	f.Fuzz(func(t *testing.T, value string) {
		if got, ok := TimesOf(map[string][]string{timesKey: {value}}); ok {
			if again, ok := TimesOf(got.Mark(nil)); !ok || again != got {
				t.Errorf("%q gave %v, and that %v, %v", value, got, again, ok)
			}
		}
	})
}
