package stream

import (
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tickcast/tickcast/pkg/backpressure"
	"github.com/tickcast/tickcast/pkg/codec"
)

// Of a crowd that is cut the log tells of some, and how many the others were.
func TestACrowdThatIsCutFillsNoLog(t *testing.T) {
	core, lines := observer.New(zapcore.InfoLevel)
	h := newHandShard(t, Config{Log: zap.New(core)})
	const crowd = 300
	var all []*session
	for range crowd + 1 {
		all = append(all, h.subscriber(codec.MsgPack, backpressure.DropOldest).s)
	}
	for _, s := range all[:crowd] {
		s.evict("reads nothing")
	}
	if n := lines.Len(); n != cutsToldAtOnce {
		t.Errorf("%d lines for %d at once, want %d", n, crowd, cutsToldAtOnce)
	}
	h.now += int64(time.Second)
	all[crowd].evict("reads nothing")
	told := lines.All()
	if last := told[len(told)-1].ContextMap()["untold_before"]; len(told) != cutsToldAtOnce+1 || last != int64(crowd-cutsToldAtOnce) {
		t.Errorf("%d lines, the last tells of %v more", len(told), last)
	}
	if n := h.counts.evicted.Load(); n != crowd+1 {
		t.Errorf("%d are counted", n)
	}
}
