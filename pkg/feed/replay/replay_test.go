package replay

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"pgregory.net/rapid"
)

// base is a receive time; lines are written relative to it, in ms.
const base = int64(1_700_000_000_000_000_000)

func trade(ms int64, venue, symbol string, id int64) string {
	at := base/1e6 + ms
	return fmt.Sprintf("%d,%s,%s,%d,%d,%d,%d,1,false", at*1e6, venue, symbol, id, at, at, id)
}

func geminiTrade(ms int64, price int) string {
	return fmt.Sprintf("%d.%03d,%d,1,0", base/1e9+ms/1000, ms%1000, price)
}

// symbolAndID shortens a recorder's trade line.
func symbolAndID(lines []string) string {
	var out []string
	for _, l := range lines {
		if f := strings.Fields(l); len(f) > 1 {
			l = f[1] + f[len(f)-1]
		}
		out = append(out, l)
	}
	return strings.Join(out, " ")
}

func TestFilesAreMergedByTime(t *testing.T) {
	dir := write(t, map[string]string{
		"2.csv":     join(derivedTrades, trade(10, "binance-spot", "A", 1), trade(30, "binance-spot", "A", 3), trade(50, "binance-spot", "A", 5)),
		"1.csv.gz":  join(derivedTrades, trade(20, "binance-spot", "B", 2), trade(30, "binance-spot", "B", 9)),
		"sub/3.csv": join(trade(40, "binance-spot", "C", 4)),
		"gemini-D-20231114.csv": join(geminiTrades,
			geminiTrade(5, 1), geminiTrade(35, 2), geminiTrade(60, 3)),
	})
	r, _, _ := play(t, dir, Config{})
	if got, want := symbolAndID(r.lines), "Db A1 B2 B9 A3 Db C4 A5 Db"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	slices.Sort(r.announced)
	if want := []string{"A[trade]", "B[trade]", "C[trade]", "D[trade]"}; !slices.Equal(r.announced, want) {
		t.Errorf("announced %q", r.announced)
	}
}

func TestANameOfTwoVenuesGetsTheVenue(t *testing.T) {
	fx := join("40,1.3,1.4")
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{
			"one venue", map[string]string{"a.csv": join(derivedTrades, trade(1, "binance-spot", "A", 1))}, "A1",
		},
		{
			"two venues in one file", map[string]string{
				"a.csv": join(derivedTrades, trade(1, "binance-spot", "A", 1), trade(2, "binance-usdm", "A", 2), trade(3, "binance-usdm", "B", 3)),
			},
			"A.BINANCE-SPOT1 A.BINANCE-USDM2 B3",
		},
		{
			"frames and a CSV", map[string]string{
				"a.csv": join(derivedTrades, trade(1, "binance-spot", "A", 1)),
				"b.txt": `1700000000002000000 {"stream":"a@trade","data":{"e":"trade","E":1700000000002,"T":1700000000002,"s":"A","t":5,"p":"9.50","q":"3","X":"MARKET","m":true}}`,
			},
			"A.BINANCE-SPOT1 A.BINANCE-USDM5",
		},
		{
			"FX vendors", map[string]string{
				"oanda-EURUSD-20140505.zip>20140505_eurusd_tick_quote.csv": fx,
				"fxcm-EURUSD-20140505.zip>20140505_eurusd_tick_quote.csv":  fx,
				"oanda-XAUUSD-20140505.zip>20140505_xauusd_tick_quote.csv": fx,
			},
			"EURUSD.OANDA0 XAUUSD0 EURUSD.FXCM0",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, _, _ := play(t, write(t, tt.files), Config{})
			if got := symbolAndID(r.lines); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// However events are spread over files that overlap, each comes once, in order.
func TestRepeatsComeOnceAndNothingIsLost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(rt, "events")
		files := make([][]string, rapid.IntRange(1, 4).Draw(rt, "files"))
		var want []string
		lines, ids := 0, [2]int64{}
		for i := range n {
			symbol := rapid.IntRange(0, 1).Draw(rt, "symbol")
			ids[symbol] += int64(rapid.IntRange(1, 3).Draw(rt, "step"))
			line := trade(int64(i), "binance-spot", "AB"[symbol:symbol+1], ids[symbol])
			holds := rapid.IntRange(1, 1<<len(files)-1).Draw(rt, "holds")
			for f := range files {
				if holds&(1<<f) != 0 {
					files[f] = append(files[f], line)
					lines++
				}
			}
			want = append(want, fmt.Sprintf("%s%d", "AB"[symbol:symbol+1], ids[symbol]))
		}
		content := make(map[string]string)
		for f, l := range files {
			content[fmt.Sprint(f, ".csv")] = join(append([]string{derivedTrades}, l...)...)
		}
		r, stats, _ := play(t, write(t, content), Config{})
		if got, want := symbolAndID(r.lines), strings.Join(want, " "); got != want {
			rt.Fatalf("got  %s\nwant %s", got, want)
		}
		if stats.Repeats != int64(lines-n) {
			rt.Fatalf("%d repeats, want %d", stats.Repeats, lines-n)
		}
	})
}

func TestLoopBeginsAgain(t *testing.T) {
	dir := write(t, map[string]string{"a.csv": join(derivedTrades, trade(1, "binance-spot", "A", 1), trade(2, "binance-spot", "A", 2))})
	s, err := New(dir, Config{Loop: true}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &recorder{limit: 5, cancel: cancel}
	if err := s.Run(ctx, r); err != nil {
		t.Fatal(err)
	}
	if got, want := symbolAndID(r.lines[:5]), "A1 A2 rewind A1 A2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(r.announced) != 1 {
		t.Errorf("announced %q", r.announced)
	}
}

func TestALoopOfNothingEnds(t *testing.T) {
	dir := write(t, map[string]string{"a.csv": derivedTrades})
	s, err := New(dir, Config{Loop: true}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), new(recorder)); err == nil {
		t.Error("no error")
	}
}

func TestSpeed(t *testing.T) {
	dir := write(t, map[string]string{"a.csv": join(derivedTrades,
		trade(0, "binance-spot", "A", 1), trade(1500, "binance-spot", "A", 2), trade(1500, "binance-spot", "A", 3),
		trade(61_500, "binance-spot", "A", 4),
		trade(10_861_500, "binance-spot", "A", 5), // three hours of silence
		trade(10_862_500, "binance-spot", "A", 6)),
	})
	for _, tt := range []struct {
		speed float64
		want  []time.Duration
	}{
		{1, []time.Duration{0, 1500 * time.Millisecond, 1500 * time.Millisecond, 61_500 * time.Millisecond, 61_500 * time.Millisecond, 62_500 * time.Millisecond}},
		{10, []time.Duration{0, 150 * time.Millisecond, 150 * time.Millisecond, 6150 * time.Millisecond, 6150 * time.Millisecond, 6250 * time.Millisecond}},
		{0.5, []time.Duration{0, 3 * time.Second, 3 * time.Second, 123 * time.Second, 123 * time.Second, 125 * time.Second}},
		{0, make([]time.Duration, 6)},
	} {
		t.Run(fmt.Sprint(tt.speed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				r, _, _ := play(t, dir, Config{Speed: tt.speed})
				for i, at := range r.at {
					if got := at.Sub(start); got != tt.want[i] {
						t.Errorf("event %d after %v, want %v", i, got, tt.want[i])
					}
				}
			})
		})
	}
}

func TestRetime(t *testing.T) {
	// The first quote is dated by its receipt, the trade by a venue whose clock is ahead.
	dir := write(t, map[string]string{"a.txt": join(
		`1700000000000000000 {"stream":"a@bookTicker","data":{"u":7,"s":"A","b":"1","B":"2","a":"3","A":"4"}}`,
		`1700000001000000000 {"stream":"a@trade","data":{"e":"trade","E":1700000002270,"s":"A","t":5,"p":"9.50","q":"3","T":1700000002270,"m":true}}`,
	)})
	for _, tt := range []struct {
		speed float64
		want  []time.Duration
	}{
		{1, []time.Duration{0, 2270 * time.Millisecond}},
		{2, []time.Duration{0, 500 * time.Millisecond}},
		{0, []time.Duration{0, 0}},
	} {
		t.Run(fmt.Sprint(tt.speed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				r, _, _ := play(t, dir, Config{Speed: tt.speed, Retime: true})
				for i, line := range r.lines {
					want := fmt.Sprint(start.Add(tt.want[i]).UnixNano())
					if got := strings.Fields(line)[2]; got != want {
						t.Errorf("event %d at %s, want %s", i, got, want)
					}
				}
			})
		})
	}
}

func TestSymbolsCanBeChosen(t *testing.T) {
	dir := write(t, map[string]string{"a.csv": join(derivedTrades,
		trade(1, "binance-spot", "A", 1), trade(2, "binance-usdm", "A", 2), trade(3, "binance-usdm", "B", 3), trade(4, "binance-usdm", "C", 4))})
	for _, tt := range []struct{ symbols, want string }{
		{"A", "A.BINANCE-SPOT1 A.BINANCE-USDM2"},
		{"A.BINANCE-USDM,C", "A.BINANCE-USDM2 C4"},
		{"D", ""},
	} {
		r, _, _ := play(t, dir, Config{Symbols: strings.Split(tt.symbols, ",")})
		if got := symbolAndID(r.lines); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.symbols, got, tt.want)
		}
	}
}

func TestBadLinesAreCountedAndNamed(t *testing.T) {
	lines := []string{derivedTrades, trade(1, "binance-spot", "A", 1)}
	for range 15 {
		lines = append(lines, "1700000000000000001,binance-spot,A,7,1700000001003,1700000001002,-5,1,true")
	}
	lines = append(lines, strings.Repeat("x", lineBytesMax+1), "", trade(1, "binance-spot", "bad\x01name", 1), trade(2, "binance-spot", "A", 2))
	r, stats, warnings := play(t, write(t, map[string]string{"a.csv": join(lines...)}), Config{})
	if got := symbolAndID(r.lines); got != "A1 A2" || stats.Bad != 17 {
		t.Errorf("got %s and %d bad lines, want A1 A2 and 17", got, stats.Bad)
	}
	if len(warnings) != badLogged+1 || !strings.Contains(warnings[0], "a.csv:3") || !strings.Contains(warnings[0], "-5") || !strings.Contains(warnings[badLogged], "total:17") {
		t.Errorf("warnings: %q", warnings)
	}
}

func TestLongLinesAreRead(t *testing.T) {
	long := `1700000000000000001 {"lastUpdateId":1,"bids":[` + strings.Repeat(`["1","2"],`, 200_000) + `["1","2"]]}`
	r, stats, _ := play(t, write(t, map[string]string{"a.txt": join(long,
		`1700000000000000002 {"stream":"a@trade","data":{"e":"trade","s":"A","t":5,"p":"9.50","q":"3","T":1700000002270,"m":true}}`)}), Config{})
	if symbolAndID(r.lines) != "A5" || stats.Skipped != 1 || stats.Bad != 0 {
		t.Errorf("got %q, %+v", r.lines, stats)
	}
}

func TestATruncatedFileIsPlayedAsFarAsItGoes(t *testing.T) {
	lines := []string{derivedTrades}
	for i := range int64(5000) {
		lines = append(lines, trade(i, "binance-spot", "A", i*7919%1_000_003+i*1_000_003+1))
	}
	dir := write(t, map[string]string{
		"a.csv.gz": join(lines...),
		"b.csv":    join(derivedTrades, trade(9999, "binance-spot", "B", 1)),
	})
	path := filepath.Join(dir, "a.csv.gz")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	r, stats, warnings := play(t, dir, Config{})
	if n := len(r.lines); n < 1000 || n > 4000 || !strings.HasPrefix(r.lines[n-1], "t B ") {
		t.Errorf("%d events, the last %q", n, r.lines[n-1])
	}
	if stats.Damaged != 1 || len(warnings) != 1 || !strings.Contains(warnings[0], "a.csv.gz:") {
		t.Errorf("got %+v and %q", stats, warnings)
	}
}

func TestWhatIsNoRecording(t *testing.T) {
	dir := write(t, map[string]string{
		"a.csv":          join(derivedTrades, trade(1, "binance-spot", "A", 1)),
		"README.md":      "# A folder\n",
		"b.json":         `{"symbols":[1,2]}`,
		"bars.zip>x.csv": join("0,1,2,3,4,5"),
		"trades.csv":     join(geminiTrades, geminiTrade(1, 1)), // of what symbol?
		"empty":          "",
	})
	r, _, warnings := play(t, dir, Config{})
	if got := symbolAndID(r.lines); got != "A1" {
		t.Errorf("got %s", got)
	}
	if len(warnings) != 1 {
		t.Fatalf("%d warnings: %q", len(warnings), warnings)
	}
	for _, name := range []string{"README.md", "b.json", "bars.zip", "trades.csv", "empty"} {
		if !strings.Contains(warnings[0], name) {
			t.Errorf("%s is not named: %s", name, warnings[0])
		}
		if _, err := New(filepath.Join(dir, name), Config{}, zap.NewNop()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s alone: %v", name, err)
		}
	}
	if _, err := New(write(t, map[string]string{"README": "x"}), Config{}, zap.NewNop()); err == nil {
		t.Error("a folder without recordings was taken")
	}
	if _, err := New(filepath.Join(dir, "missing"), Config{}, zap.NewNop()); err == nil {
		t.Error("a missing file was taken")
	}
	for _, speed := range []float64{-1, 1e-9, 1e9} {
		if _, err := New(dir, Config{Speed: speed}, zap.NewNop()); err == nil {
			t.Errorf("speed %v was taken", speed)
		}
	}
}

func TestTheEndOfTheContextEndsAWait(t *testing.T) {
	dir := write(t, map[string]string{"a.csv": join(derivedTrades, trade(0, "binance-spot", "A", 1), trade(3_000_000, "binance-spot", "A", 2))})
	synctest.Test(t, func(t *testing.T) {
		s, err := New(dir, Config{Speed: 1}, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start, r := time.Now(), new(recorder)
		if err := s.Run(ctx, r); err != nil || len(r.lines) != 1 || time.Since(start) != time.Minute {
			t.Errorf("%v after %v with %q", err, time.Since(start), r.lines)
		}
	})
}

func BenchmarkReplay(b *testing.B) {
	lines := []string{derivedTrades}
	for i := range int64(10_000) {
		lines = append(lines, trade(i, "binance-spot", "A", i+1))
	}
	dir := write(b, map[string]string{"a.csv": join(lines...)})
	events := 0
	for b.Loop() {
		s, err := New(dir, Config{}, zap.NewNop())
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Run(b.Context(), discard{}); err != nil {
			b.Fatal(err)
		}
		events += int(s.events())
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "ticks/s")
}
