// Package replay plays recorded market data: raw Binance frames, CSVs of trades and of
// quotes, and FX quotes, each plain, gzipped or zipped. The files are merged into one stream
// in the order of their receive times (where none was recorded, of the venue's times), and
// played in real time, faster, or as fast as it goes.
//
// A format is recognised by its content. What a file does not say of itself is read from its
// name, of the form venue-SYMBOL-date: the venue of FX quotes (their symbol and date are in
// the name of the CSV within), and venue and symbol of trades and quotes without columns for
// them. A symbol is called what the recording calls it, but where two venues of one replay
// use the same name, both get their venue's after a dot: BTCUSDT.BINANCE-SPOT.
//
// A line that cannot be read is counted and logged, and the rest goes on. Prices and sizes
// are the floats nearest to the decimals printed. Times are the venue's clock where it was
// recorded, else the recorder's.
package replay
