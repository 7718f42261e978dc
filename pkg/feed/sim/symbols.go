package sim

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/tickcast/tickcast/pkg/market"
)

const (
	defaultSymbols = 100
	symbolsMax     = 10_000
)

// A kind is what instruments of one sort have in common.
type kind struct {
	tick      int64 // smallest step of a price, in units of 10^-decimals
	decimals  int
	lot       int64 // smallest step of a size, in units of 10^-lotDecimals
	lotDigits int
	low, high float64 // opening prices of instruments with no price of their own
}

var (
	equity = kind{tick: 1, decimals: 2, lot: 100, lotDigits: 0, low: 8, high: 600}
	crypto = kind{tick: 1, decimals: 2, lot: 1, lotDigits: 4, low: 2, high: 900}
	forex  = kind{tick: 1, decimals: 5, lot: 100_000, lotDigits: 0, low: 0.6, high: 1.9}
	yen    = kind{tick: 1, decimals: 3, lot: 100_000, lotDigits: 0, low: 80, high: 200}
	future = kind{tick: 25, decimals: 2, lot: 1, lotDigits: 0, low: 400, high: 9_000}
)

// An instrument is a symbol with the price at which it opens.
type instrument struct {
	symbol string
	kind   *kind
	open   float64
}

// known are the instruments with prices of their own, busiest first. With none named, the
// simulator begins with these.
var known = []instrument{
	{"BTC/USD", &crypto, 61_800}, {"ESZ6", &future, 6_250}, {"AAPL", &equity, 228.5}, {"EUR/USD", &forex, 1.0842},
	{"NVDA", &equity, 131.2}, {"ETH/USD", &crypto, 2_680}, {"TSLA", &equity, 251.4}, {"NQZ6", &future, 21_400},
	{"SPY", &equity, 584.6}, {"USD/JPY", &yen, 151.9}, {"MSFT", &equity, 417.1}, {"SOL/USD", &crypto, 152.3},
	{"AMZN", &equity, 189.3}, {"GBP/USD", &forex, 1.2975}, {"META", &equity, 576.8}, {"CLZ6", &future, 71.5},
	{"GOOGL", &equity, 164.1}, {"BRK.B", &equity, 456.9}, {"XRP/USD", &crypto, 5.31}, {"GCZ6", &future, 2_735},
	{"AMD", &equity, 155.7}, {"USD/CHF", &forex, 0.8658}, {"QQQ", &equity, 495.3}, {"AUD/USD", &forex, 0.6639},
	{"JPM", &equity, 224.8}, {"DOGE/USD", &crypto, 4.13}, {"AVGO", &equity, 178.2}, {"USD/CAD", &forex, 1.3841},
	{"NFLX", &equity, 763.9}, {"ZNZ6", &future, 1_110.5}, {"BF.B", &equity, 44.6}, {"EUR/GBP", &forex, 0.8356},
	{"LTC/USD", &crypto, 70.4}, {"INTC", &equity, 22.7}, {"EUR/JPY", &yen, 164.7}, {"COIN", &equity, 213.6},
}

// instruments turns what was asked for into instruments, in the order that ranks them:
// nothing means 100, a number alone means so many, else they are names.
func instruments(asked []string) ([]instrument, error) {
	if len(asked) == 0 {
		return generate(defaultSymbols), nil
	}
	if len(asked) == 1 {
		if n, err := strconv.Atoi(strings.TrimSpace(asked[0])); err == nil {
			if n < 1 || n > symbolsMax {
				return nil, fmt.Errorf("symbols %d: 1 to %d, or names", n, symbolsMax)
			}
			return generate(n), nil
		}
	}
	var list []instrument
	var errs []error
	seen := make(map[string]bool, len(asked))
	for _, name := range asked {
		name = strings.TrimSpace(name)
		if err := market.CheckSymbol(name); err != nil {
			errs = append(errs, fmt.Errorf("symbols: %w", err))
			continue
		}
		if !seen[name] {
			seen[name] = true
			list = append(list, byName(name))
		}
	}
	if len(list) > symbolsMax {
		errs = append(errs, fmt.Errorf("symbols: %d names, at most %d", len(list), symbolsMax))
	}
	return list, errors.Join(errs...)
}

// generate returns n instruments: the known ones, then made-up names of all kinds.
func generate(n int) []instrument {
	list := make([]instrument, 0, n)
	list = append(list, known[:min(n, len(known))]...)
	for i := 0; len(list) < n; i++ {
		list = append(list, byName(madeUp(i)))
	}
	return list
}

// madeUp returns the ith name. None is in known, and no two are the same: each kind of name
// has its own shape.
func madeUp(i int) string {
	code := letters(i)
	switch i % 10 {
	case 0, 1:
		return "C" + code + "/USD"
	case 2:
		return "F" + code + "H7"
	case 3:
		return "X" + code + "/EUR"
	case 4:
		return "Q" + code + ".A"
	default:
		return "Q" + code
	}
}

// letters writes i with three letters, as many as 10,000 names take.
func letters(i int) string {
	return string([]byte{'A' + byte(i/676%26), 'A' + byte(i/26%26), 'A' + byte(i%26)})
}

// byName finds a known instrument, or guesses from the name's shape what it is. Its opening
// price is then made from the name, so that it does not depend on the others.
func byName(name string) instrument {
	for _, in := range known {
		if in.symbol == name {
			return in
		}
	}
	k := &equity
	base, quote, pair := strings.Cut(name, "/")
	switch {
	case pair && currency(base) && quote == "JPY":
		k = &yen
	case pair && currency(base) && currency(quote):
		k = &forex
	case pair || strings.HasSuffix(name, "USDT"):
		k = &crypto
	case len(name) >= 4 && isDigit(name[len(name)-1]) && strings.IndexByte("FGHJKMNQUVXZ", name[len(name)-2]) >= 0:
		k = &future
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	return instrument{name, k, k.low + (k.high-k.low)*float64(h.Sum32())/(1<<32)}
}

func currency(code string) bool {
	switch code {
	case "USD", "EUR", "GBP", "JPY", "CHF", "AUD", "NZD", "CAD", "SEK", "NOK", "DKK", "MXN", "SGD", "HKD", "ZAR", "CNH":
		return true
	}
	return false
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
