package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// A recording is written by a test, line by line, with the ticks that must come of it.
type recording struct {
	t      *testing.T
	frames []string // raw Binance frames
	quotes []string // a CSV
	want   map[market.Stream][]codec.Event
	bad    []string // "file:line", in order of play
}

const (
	framesFile = "binance-spot-20231114.txt"
	quotesFile = "quotes.csv"
)

// decimals are printed as venues print them: with zeros behind, tiny, long, and beyond what
// a float holds exactly.
var decimals = []string{
	"61837.63000000", "0.00000100", "0.10000000", "0.30000000", "100000000.00000001", "1.00000000",
	"0.00012345", "9007199254740993.00000000", "42.42424242", "70000.00000000", "0.07000000", "3.14159265",
}

func (r *recording) decimal(i int) (string, float64) {
	text := decimals[i%len(decimals)]
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	return text, v
}

// at is the receive time of the ith line, in ns.
func at(i int) int64 { return 1_700_000_000_000_000_000 + int64(i)*1_234_567 }

func (r *recording) trade(i int, symbol string) {
	price, p := r.decimal(i)
	size, q := r.decimal(i + 5)
	ms, id := at(i)/1e6-3, 4_000_000_000+i
	r.frames = append(r.frames, fmt.Sprintf(
		`%d {"stream":"%s@trade","data":{"e":"trade","E":%d,"s":"%s","t":%d,"p":"%s","q":"%s","T":%d,"m":%t,"M":true}}`,
		at(i), strings.ToLower(symbol), ms+1, symbol, id, price, size, ms, i%2 == 0))
	side := market.SideBuy
	if i%2 == 0 {
		side = market.SideSell // the buyer was the maker
	}
	r.expect(market.Trade{Symbol: symbol, Time: ms * 1e6, Price: p, Size: q, Side: side, ID: strconv.Itoa(id)})
}

func (r *recording) bookTicker(i int, symbol string) {
	bid, b := r.decimal(i)
	bidSize, bs := r.decimal(i + 1)
	ask, a := r.decimal(i + 2)
	askSize, as := r.decimal(i + 3)
	r.frames = append(r.frames, fmt.Sprintf(
		`%d {"stream":"%s@bookTicker","data":{"u":%d,"s":"%s","b":"%s","B":"%s","a":"%s","A":"%s"}}`,
		at(i), strings.ToLower(symbol), 7_000_000+i, symbol, bid, bidSize, ask, askSize))
	r.expect(market.Quote{Symbol: symbol, Time: at(i), BidPrice: b, BidSize: bs, AskPrice: a, AskSize: as})
}

func (r *recording) quoteRow(i int, symbol string) {
	bid, b := r.decimal(i + 4)
	bidSize, bs := r.decimal(i + 5)
	ask, a := r.decimal(i + 6)
	askSize, as := r.decimal(i + 7)
	r.quotes = append(r.quotes, fmt.Sprintf("%d,binance-spot,%s,%d,,%s,%s,%s,%s", at(i), symbol, 9_000_000+i, bid, bidSize, ask, askSize))
	r.expect(market.Quote{Symbol: symbol, Time: at(i), BidPrice: b, BidSize: bs, AskPrice: a, AskSize: as})
}

func (r *recording) expect(ev codec.Event) {
	stream, _ := streamOf(ev)
	r.want[stream] = append(r.want[stream], ev)
}

// badFrame and badRow write a line that cannot be read.
func (r *recording) badFrame(line string) {
	r.frames = append(r.frames, line)
	r.bad = append(r.bad, fmt.Sprintf("%s:%d", framesFile, len(r.frames)))
}

func (r *recording) badRow(line string) {
	r.quotes = append(r.quotes, line)
	r.bad = append(r.bad, fmt.Sprintf("%s:%d", quotesFile, len(r.quotes)))
}

func record(t *testing.T, ticks int) *recording {
	r := &recording{t: t, want: make(map[market.Stream][]codec.Event)}
	r.quotes = []string{"recv_ns,venue,symbol,update_id,event_ms,bid,bid_size,ask,ask_size"}
	for i := range ticks {
		switch symbol := []string{"BTCUSDT", "PEPEUSDT", "ETHBTC"}[i%3]; i % 4 {
		case 0, 1:
			r.trade(i, symbol)
		case 2:
			r.bookTicker(i, symbol)
		default:
			r.quoteRow(i, "XRPUSDT")
		}
		switch i {
		case ticks / 4:
			r.frames = append(r.frames, fmt.Sprintf(`%d {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","s":"BTCUSDT","b":[["1.5","0"]],"a":[]}}`, at(i)))
		case ticks / 3:
			r.badFrame(fmt.Sprintf(`%d {"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"BTCUSDT","t":5,"p":"-1.00000000","q":"1","T":%d,"m":true}}`, at(i), at(i)/1e6))
		case ticks / 2:
			r.badRow("1700000000000000000,binance-spot,XRPUSDT,cut off he")
		case ticks * 2 / 3:
			r.badFrame(fmt.Sprintf(`%d {"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUS`, at(i)))
		}
	}
	return r
}

// write returns the folder that holds the recording.
func (r *recording) write() string {
	r.t.Helper()
	dir := r.t.TempDir()
	for name, lines := range map[string][]string{framesFile: r.frames, quotesFile: r.quotes} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	return dir
}

func TestReplayDeliversEveryLineAsPrinted(t *testing.T) {
	r := record(t, 900)
	dir := r.write()
	nats := startNATS(t)
	node := startStreamer(t, nats)
	play := func() *process {
		p := startFeed(t, nats, "--source", "replay", "--file", dir, "--speed", "0").process
		if code := p.wait(); code != 0 {
			t.Fatalf("the feed ends with exit code %d", code)
		}
		return p
	}

	play() // makes the symbols known
	node.awaitSymbols(4)
	ticking := []market.Channel{market.ChannelTrade, market.ChannelQuote}
	subs := []*subscriber{
		node.follow(codec.MsgPack, ticking, market.Wildcard),
		node.follow(codec.JSON, ticking, market.Wildcard),
	}
	for _, s := range subs {
		s.awaitEach("a snapshot of every stream", len(r.want), func(b *book) bool { return b.last > 0 })
		for stream, want := range r.want {
			if got := s.snapshots()[stream]; numberless(got) != want[len(want)-1] {
				t.Errorf("snapshot %+v, want %+v", got, want[len(want)-1])
			}
		}
	}

	second := play()
	for _, s := range subs {
		s.await("every tick", func() bool {
			for stream, want := range r.want {
				if len(s.book(stream).ticks) < len(want) {
					return false
				}
			}
			return true
		})
		s.ask(codec.Request{Op: codec.OpPing}) // what is too much would come before the pong
		for stream, want := range r.want {
			compare(t, s, stream, want)
		}
		if gaps := s.gaps(); len(gaps) > 0 {
			t.Errorf("gaps: %+v", gaps)
		}
	}

	var bad []string
	for _, line := range second.logged("bad line") {
		at, _ := filepath.Rel(dir, fmt.Sprint(line["at"]))
		bad = append(bad, at)
	}
	slices.Sort(bad)
	slices.Sort(r.bad)
	if !slices.Equal(bad, r.bad) {
		t.Errorf("bad lines reported: %q, want %q", bad, r.bad)
	}
}

// compare holds what came of a stream in the second play against the recording.
func compare(t *testing.T, s *subscriber, stream market.Stream, want []codec.Event) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.books[stream]
	_, before := streamOf(b.snapshot)
	if len(b.ticks) != len(want) {
		t.Errorf("%s %v: %d ticks, want %d", s.enc, stream, len(b.ticks), len(want))
	}
	for i := range min(len(want), len(b.ticks)) {
		if _, seq := streamOf(b.ticks[i]); seq != before+int64(i)+1 {
			t.Fatalf("%s %v: tick %d behind seq %d has seq %d", s.enc, stream, i, before, seq)
		}
		if got := numberless(b.ticks[i]); got != want[i] {
			t.Fatalf("%s tick %d of %v: got %+v, want %+v", s.enc, i, stream, got, want[i])
		}
	}
}

// numberless is the tick without its seq, which the recording does not tell.
func numberless(ev codec.Event) codec.Event {
	switch ev := ev.(type) {
	case market.Trade:
		ev.Seq = 0
		return ev
	case market.Quote:
		ev.Seq = 0
		return ev
	}
	return ev
}
