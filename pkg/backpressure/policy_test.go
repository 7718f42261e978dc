package backpressure

import (
	"strings"
	"testing"

	"github.com/tickcast/tickcast/pkg/market"
)

func TestPolicyNames(t *testing.T) {
	for p := Conflate; p <= Disconnect; p++ {
		if got, ok := ParsePolicy(p.String()); !ok || got != p {
			t.Errorf("%v reads back as %v, %v", p, got, ok)
		}
	}
	if p, ok := ParsePolicy("drop"); ok {
		t.Errorf("drop is %v", p)
	}
	for _, ch := range market.AllChannels() {
		if p := Default(ch); !p.Allows(ch) {
			t.Errorf("the default of %v, %v, is not allowed", ch, p)
		}
	}
}

func TestParseDefaults(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want [market.Channels]Policy
		errs []string
	}{
		{"", [...]Policy{DropOldest, Conflate, Conflate}, nil},
		{"trade=aggregate", [...]Policy{Aggregate, Conflate, Conflate}, nil},
		{" bar = disconnect , quote=drop_newest", [...]Policy{DropOldest, DropNewest, Disconnect}, nil},
		{"trade=conflate,quote=aggregate", [...]Policy{DropOldest, Conflate, Conflate}, []string{"conflate is not for channel trade", "aggregate is not for channel quote"}},
		{"book=conflate,bar", [...]Policy{DropOldest, Conflate, Conflate}, []string{`"book=conflate": unknown channel`, `"bar": unknown policy`}},
		{"bar=disconnect,bar=conflate", [...]Policy{DropOldest, Conflate, Disconnect}, []string{"named twice"}},
	} {
		got, err := ParseDefaults(tt.in)
		if got != tt.want || (err != nil) != (tt.errs != nil) {
			t.Errorf("%q: got %v, %v, want %v", tt.in, got, err, tt.want)
		}
		for _, want := range tt.errs {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: error %v does not say %q", tt.in, err, want)
			}
		}
	}
}
