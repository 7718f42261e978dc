package codec

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestAppendJSON(t *testing.T) {
	for _, tt := range []struct{ name, rec, want string }{
		{"integers", "9c 00 7f ff e0 cc80 cdffff ceffffffff cfffffffffffffffff d080 d18000 d280000000 d38000000000000000",
			`[0,127,-1,-32,128,65535,4294967295,18446744073709551615,-128,-32768,-2147483648,-9223372036854775808]`},
		{"constants", "93 c0 c2 c3", `[null,false,true]`},
		{"floats", "92 cb3fb999999999999a ca3f000000", `[0.1,0.5]`},
		{"maps", "82 a161 80 a0 81a16290", `{"a":{},"":{"b":[]}}`},
		{"text", "a9 0022 5c0a0d0909 1f7f", `"\u0000\"\\\n\r\t\t\u001f` + "\x7f\""},
		{"text that is not ASCII", "a3 e697a5", `"日"`},
		{"longer heads than need be", "dd00000001 df00000001 d90161 db00000001 62", `[{"a":"b"}]`},
	} {
		if got := string(must(t)(AppendJSON([]byte("x"), fromHex(t, tt.rec)))); got != "x"+tt.want {
			t.Errorf("%s: got  %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

func TestAppendJSONRefusesWhatJSONCannotSay(t *testing.T) {
	for _, tt := range []struct{ name, rec string }{
		{"nothing", ""}, {"half an array", "9201"}, {"two values", "0102"}, {"bytes", "c40100"}, {"an extension", "d40100"},
		{"NaN", "cb7ff8000000000000"}, {"a 32-bit NaN", "ca7fc00000"}, {"infinity", "cb7ff0000000000000"},
		{"a key that is a number", "810101"}, {"text that is not UTF-8", "a1ff"}, {"a key that is not UTF-8", "81a1ff01"},
		{"half a number", "cf01"}, {"half a float", "cb3f"}, {"half a text", "a561"}, {"the unused type byte", "c1"},
		{"33 levels", strings.Repeat("91", 33) + "c0"}, {"four thousand million elements", "ddffffffff"},
	} {
		if got, err := AppendJSON([]byte("x"), fromHex(t, tt.rec)); !errors.Is(err, ErrMalformed) || string(got) != "x" {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
	}
}

func TestFloatsReadBackAsTheyWereInPlainDigitsWhereThatIsShort(t *testing.T) {
	for _, tt := range []struct {
		f    float64
		want string
	}{
		{0, "0"}, {math.Copysign(0, -1), "-0"}, {100, "100"}, {64250.5, "64250.5"}, {0.00000001, "0.00000001"},
		{1e20, "100000000000000000000"}, {1e21, "1e+21"}, {5e-324, "5e-324"}, {1e-10, "1e-10"},
	} {
		if got := string(appendJSONFloat(nil, tt.f)); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		f := genFloat.Draw(t, "f")
		text := appendJSONFloat(nil, f)
		back, err := strconv.ParseFloat(string(text), 64)
		if err != nil || math.Float64bits(back) != math.Float64bits(f) || !json.Valid(text) {
			t.Fatalf("%s reads as %v, %v", text, back, err)
		}
	})
}

func TestStringsReadBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Filter(utf8.ValidString).Draw(t, "s")
		var back string
		if text := appendJSONString(nil, []byte(s)); json.Unmarshal(text, &back) != nil || back != s {
			t.Fatalf("%s reads as %q", text, back)
		}
	})
}
