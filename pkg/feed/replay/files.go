package replay

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	// sniffLines is how far into a file its format and its first event are looked for.
	sniffLines = 200
	sniffBytes = 2 * lineBytesMax
)

// A format is one way of writing ticks down.
type format struct {
	name   string
	header string // a line that is no event; "" = none
	parse  func(line []byte, ev *event) error
	// complete reads what the lines do not say from the file's names; nil = they say all.
	complete func(f *file) error
}

var formats = []*format{
	{
		name: "Binance frames", parse: parseBinanceFrame,
		complete: (*file).venueFromFrames,
	},
	{
		name: "Binance trades", parse: parseBinanceTrade,
		header: "recv_ns,venue,symbol,trade_id,event_ms,trade_ms,price,size,buyer_is_maker",
	},
	{
		name: "Binance quotes", parse: parseBinanceQuote,
		header: "recv_ns,venue,symbol,update_id,event_ms,bid,bid_size,ask,ask_size",
	},
	{
		name: "Gemini trades", parse: parseGeminiTrade, complete: (*file).symbolFromName,
		header: "time_seconds,price,size,is_buyer_maker",
	},
	{
		name: "Gemini quotes", parse: parseGeminiQuote, complete: (*file).symbolFromName,
		header: "time_seconds,bid_price_bid_size,ask_price_ask_size",
	},
	{
		name: "FX quotes", parse: parseFX,
		complete: (*file).dayFromNames,
	},
}

// A file is one recording: a file, or one within a zip.
type file struct {
	path, entry string
	size        int64 // as stored
	format      *format
	venue       string // of lines that do not say; "" = they do
	symbol      string // the same
	midnight    int64  // where the times count from; 0 unless FX
	first       int64  // key of the first event

	sniffed [][]byte // until complete
}

var (
	errUnknown = errors.New("no known recording format")
	errName    = errors.New("the file's name must tell")
)

// String names the file in logs.
func (f *file) String() string {
	if f.entry == "" || f.entry == filepath.Base(f.path) {
		return f.path
	}
	return f.path + ":" + f.entry
}

// find returns the recordings at path, a file or a folder, in order of their names, and
// what in the folder is none, with the reason where it is not simply another kind of file.
func find(path string) (found []*file, others []string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.IsDir() {
		if found, err = inspect(path); len(found) > 0 && err != nil {
			others, err = []string{err.Error()}, nil
		}
		return found, others, err
	}
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !regular(p) {
			others = append(others, p)
			return nil
		}
		here, err := inspect(p)
		found = append(found, here...)
		switch {
		case err != nil && errors.Is(err, errUnknown):
			others = append(others, p)
		case err != nil:
			others = append(others, err.Error())
		}
		return nil
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s: no recording in it", path)
	}
	return found, others, err
}

func regular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// inspect recognises the recordings in one file. An error stands for those that are none.
func inspect(path string) ([]*file, error) {
	entries, err := zipEntries(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if entries == nil {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		f := &file{path: path, size: info.Size()}
		if err := f.recognise(); err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		return []*file{f}, nil
	}
	var found []*file
	var first error
	for _, e := range entries {
		f := &file{path: path, entry: e.Name, size: int64(e.CompressedSize64)}
		if err := f.recognise(); err == nil {
			found = append(found, f)
		} else if first == nil {
			first = fmt.Errorf("%s: %w", f, err)
		}
	}
	return found, first
}

// recognise reads the first lines. The first format that knows one of them is the file's.
func (f *file) recognise() error {
	l, err := openLines(f.path, f.entry)
	if err != nil {
		return err
	}
	defer l.close()
	defer func() { f.sniffed = nil }()
	f.first = math.MinInt64
	for size := 0; l.number < sniffLines && size < sniffBytes; {
		line, err := l.next()
		if errors.Is(err, errLong) {
			continue
		}
		if err != nil {
			break // what was read until then decides; Run meets the damage again
		}
		size += len(line)
		f.look(line)
	}
	if f.format == nil {
		return errUnknown
	}
	if f.format.complete != nil {
		return f.format.complete(f)
	}
	return nil
}

func (f *file) look(line []byte) {
	f.sniffed = append(f.sniffed, bytes.Clone(line))
	candidates := formats
	if f.format != nil {
		candidates = []*format{f.format}
	}
	for _, format := range candidates {
		var ev event
		err := format.parse(line, &ev)
		if err == nil || errors.Is(err, errSkip) || format.header != "" && string(line) == format.header {
			f.format = format
		}
		if err == nil && f.first == math.MinInt64 {
			f.first = ev.key
		}
		if f.format != nil {
			return
		}
	}
}

func (f *file) venueFromFrames() error {
	for _, venue := range []string{"binance-spot", "binance-usdm", "binance-coinm"} {
		if strings.HasPrefix(strings.ToLower(f.base()), venue) {
			f.venue = venue
			return nil
		}
	}
	f.venue = venueOfFrames(f.sniffed)
	return nil
}

// base is the name by which the file is known outside a zip.
func (f *file) base() string { return filepath.Base(f.path) }

var venueSymbol = regexp.MustCompile(`^([A-Za-z0-9_]+)-([A-Za-z0-9_./]+)-\d{8}`)

func (f *file) symbolFromName() error {
	m := venueSymbol.FindStringSubmatch(f.base())
	if m == nil {
		return fmt.Errorf("%w %s' symbol, as in gemini-ETHUSD-20210701.csv", errName, f.format.name)
	}
	f.venue, f.symbol = strings.ToLower(m[1]), m[2]
	return nil
}

var daySymbol = regexp.MustCompile(`^(\d{8})_([a-z0-9]+)_tick_quote`)

// fxMidnights are the vendors' days, as offsets of UTC.
var fxMidnights = map[string]time.Duration{"fxcm": 5 * time.Hour, "oanda": 0}

func (f *file) dayFromNames() error {
	inner := f.entry
	if inner == "" {
		inner = f.base()
	}
	m := daySymbol.FindStringSubmatch(strings.ToLower(filepath.Base(inner)))
	if m == nil {
		return fmt.Errorf("its lines look like FX quotes: %w their date and symbol, as in 20140505_eurusd_tick_quote.csv", errName)
	}
	day, err := time.Parse("20060102", m[1])
	if err != nil {
		return fmt.Errorf("%w FX quotes' date: %w", errName, err)
	}
	f.symbol = strings.ToUpper(m[2])
	for _, part := range backwards(strings.Split(filepath.ToSlash(f.path), "/")) {
		for venue, offset := range fxMidnights {
			if strings.HasPrefix(strings.ToLower(part), venue) {
				f.venue = venue
				f.midnight = day.Add(offset).UnixNano()
				if f.first != math.MinInt64 {
					f.first += f.midnight
				}
				return nil
			}
		}
	}
	return fmt.Errorf("%w FX quotes' venue, fxcm or oanda: their days begin at different hours", errName)
}

func backwards(parts []string) []string {
	slices.Reverse(parts)
	return parts
}
