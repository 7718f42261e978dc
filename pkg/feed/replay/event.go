package replay

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/tickcast/tickcast/pkg/market"
)

// An event is one line's tick. A parser fills it: of trade and quote only the one that
// channel names, without its symbol.
type event struct {
	channel market.Channel
	trade   market.Trade
	quote   market.Quote
	key     int64  // orders events: receive time, else the venue's, ns
	id      int64  // rises within a stream of venues that number; 0 = none
	venue   []byte // nil = the file's; these two alias the line
	symbol  []byte // nil = the file's
}

// time returns the tick's own time.
func (ev *event) time() int64 {
	if ev.channel == market.ChannelTrade {
		return ev.trade.Time
	}
	return ev.quote.Time
}

func (ev *event) setTime(at int64) { ev.trade.Time, ev.quote.Time = at, at }

// errSkip reports a line that is understood and holds neither trade nor quote.
var errSkip = errors.New("no trade or quote")

var (
	errFields = errors.New("wrong number of fields")
	errNumber = errors.New("not a decimal number")
	errRange  = errors.New("number out of range")
	errClocks = errors.New("the venue's and the recorder's clock are more than a day apart")
)

// clocksApartMax catches a time with a wrong digit, which would close bars long before
// their time.
const clocksApartMax = int64(24 * time.Hour)

func checkClocks(venue, recorder int64) error {
	if d := venue - recorder; d > clocksApartMax || d < -clocksApartMax {
		return errClocks
	}
	return nil
}

// parseFields splits line at commas into out; their number must be right.
func parseFields(line []byte, out [][]byte) error {
	for i := range out {
		end := bytes.IndexByte(line, ',')
		last := i == len(out)-1
		if last != (end < 0) {
			return fmt.Errorf("%w: want %d", errFields, len(out))
		}
		if last {
			end = len(line)
			out[i] = line[:end]
			return nil
		}
		out[i], line = line[:end], line[end+1:]
	}
	return nil
}

// parseAmount reads a price or size as printed: a decimal, at least 0, exponents allowed.
func parseAmount(b []byte) (float64, error) {
	if len(b) == 0 || len(b) > 64 {
		return 0, fmt.Errorf("%w: %.40q", errNumber, b)
	}
	for _, c := range b {
		// ParseFloat also takes hexadecimal, infinities and names of no number.
		if !isDigit(c) && c != '.' && c != 'e' && c != 'E' && c != '-' && c != '+' {
			return 0, fmt.Errorf("%w: %.40q", errNumber, b)
		}
	}
	f, err := strconv.ParseFloat(string(b), 64)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && f < 0:
		return 0, fmt.Errorf("%w: %.40q", errRange, b)
	case err != nil:
		return 0, fmt.Errorf("%w: %.40q", errNumber, b)
	}
	return f + 0, nil
}

// parsePrice reads what a trade was made at, which is above 0.
func parsePrice(b []byte) (float64, error) {
	f, err := parseAmount(b)
	if err == nil && f == 0 {
		err = fmt.Errorf("%w: a trade at %.40q", errRange, b)
	}
	return f, err
}

// parseTime reads a decimal count of units, at least 0, as nanoseconds, exactly; what is
// finer is cut off.
func parseTime(b []byte, unit time.Duration) (int64, error) {
	whole, i := int64(0), 0
	for ; i < len(b) && isDigit(b[i]); i++ {
		if whole > (math.MaxInt64/int64(unit)-9)/10 {
			return 0, fmt.Errorf("%w: time %.40q", errRange, b)
		}
		whole = whole*10 + int64(b[i]-'0')
	}
	if i == 0 {
		return 0, fmt.Errorf("%w: time %.40q", errNumber, b)
	}
	ns := whole * int64(unit)
	if i == len(b) {
		return ns, nil
	}
	if b[i] != '.' || i+1 == len(b) {
		return 0, fmt.Errorf("%w: time %.40q", errNumber, b)
	}
	for _, c := range b[i+1:] {
		if !isDigit(c) {
			return 0, fmt.Errorf("%w: time %.40q", errNumber, b)
		}
		unit /= 10
		ns += int64(c-'0') * int64(unit)
	}
	return ns, nil
}

// parseID reads a number that a venue gave, 1 or more.
func parseID(b []byte) (int64, error) {
	id, err := parseTime(b, 1)
	if err != nil || id == 0 || bytes.IndexByte(b, '.') >= 0 {
		return 0, fmt.Errorf("%w: id %.40q", errNumber, b)
	}
	return id, nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
