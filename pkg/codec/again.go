package codec

import "github.com/tickcast/tickcast/pkg/market"

// Nearly every tick of a chunk begins with the bytes of the one before it: kind and symbol. A
// chunk is read by that, since to look at each record as [NextTick] does took two fifths of what
// a node spends on a tick at half a million a second.

// A beginning is what the ticks of a chunk have before their seqs; empty where they have to be
// read one by one.
type beginning []byte

// beginningOf returns the beginning of a tick that NextTick has accepted.
func beginningOf(rec []byte, h *Head) beginning {
	if rec[0] != mpFixArray|8 || rec[1] != mpFixStr|1 || h.Kind != KindTrade && h.Kind != KindQuote {
		return nil // elements of a later version, or a bar: one a second
	}
	_, i := strAt(rec, 1)
	_, i = strAt(rec, i)
	return beginning(rec[:i])
}

// usualBeginning is how Append* begins the ticks of s.
func usualBeginning(s market.Stream) beginning {
	name := nameTrade
	switch s.Channel {
	case market.ChannelBar:
		return nil
	case market.ChannelQuote:
		name = nameQuote
	}
	return appendStr(append(make([]byte, 0, 4+len(s.Symbol)), mpFixArray|8, mpFixStr|1, name[0]), s.Symbol)
}

// again reads the tick at i if it begins like the one before and has the shortest forms of
// everything, as Append* writes them. Else next is -1, and NextTick has to say what it is.
func (b beginning) again(buf []byte, i int) (seq int64, next int) {
	if len(b) == 0 || len(buf)-i < len(b) || string(buf[i:i+len(b)]) != string(b) {
		return 0, -1
	}
	if i += len(b); len(buf)-i >= 9 && buf[i] == mpUint64 { // most, where numbers began at the clock
		seq, i = int64(be.Uint64(buf[i+1:])), i+9
	} else {
		seq, i = intAt(buf, i)
	}
	switch {
	case seq <= 0 || i < 0:
		return 0, -1
	case b[2] == nameQuote[0]:
		return seq, floatsAt(buf, timeAt(buf, i), 4)
	case len(buf)-i < 28:
		return 0, -1
	}
	// A trade: time, price, size; side and id.
	v := buf[i : i+28]
	if v[0] != mpInt64 || v[9] != mpFloat64 || v[18] != mpFloat64 ||
		be.Uint16(v[10:])&0x7ff0 == 0x7ff0 || be.Uint16(v[19:])&0x7ff0 == 0x7ff0 {
		return 0, -1
	}
	if i += 27; v[27] == mpFixStr|1 && len(buf)-i >= 2 && (buf[i+1] == 'b' || buf[i+1] == 's') {
		return seq, asciiAt(buf, i+2)
	}
	return seq, asciiAt(buf, sideAt(buf, i))
}

// asciiAt reads a string of at most 31 bytes, all of them ASCII.
func asciiAt(buf []byte, i int) int {
	if i < 0 || i >= len(buf) || buf[i]&0xe0 != mpFixStr {
		return -1
	}
	end := i + 1 + int(buf[i]&0x1f)
	if end > len(buf) {
		return -1
	}
	text, all := buf[i+1:end], uint64(0)
	for ; len(text) >= 8; text = text[8:] {
		all |= be.Uint64(text)
	}
	for _, c := range text {
		all |= uint64(c)
	}
	if all&0x8080808080808080 != 0 {
		return -1
	}
	return end
}
