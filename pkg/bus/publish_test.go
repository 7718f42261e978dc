package bus

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/tickcast/tickcast/pkg/market"
)

func TestAHeaderTravelsBesideTheBodyAndNoFurther(t *testing.T) {
	b := connectReady(t, Config{Servers: Embedded})
	must(t, b.Subscribe(trade("A")))
	must(t, b.Sync(t.Context()))
	header := map[string][]string{"traceparent": {"00-1"}, "other-one": {"5"}}
	must(t, b.PublishWith(trade("A"), []byte("with"), header))
	must(t, b.Publish(trade("A"), []byte("without")))

	ctx, stop := context.WithCancel(t.Context())
	var got []Message
	must(t, b.Run(ctx, Handler{
		Messages: func(all []Message) {
			if got = append(got, all...); len(got) == 2 {
				stop()
			}
		},
		Announced: func(string, []market.Channel) {}, Lost: func(string) {},
	}))
	if !reflect.DeepEqual(got[0].Header, header) || string(got[0].Data) != "with" || got[1].Header != nil {
		t.Errorf("got %q", got)
	}
	eventually(t, "stored", func() bool { return last(t, b, trade("A"))[trade("A")] == "without" })
	if got := history(t, b, trade("A"), time.Time{}); !slices.Equal(got, []string{"with", "without"}) {
		t.Errorf("the store has %q", got)
	}
}
