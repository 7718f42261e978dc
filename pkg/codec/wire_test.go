package codec

import (
	"bytes"
	"strings"
	"testing"
)

func TestHeadsTakeTheirSmallestForm(t *testing.T) {
	for _, tt := range []struct {
		n           int
		str         string // in hex, as are the others
		array, pair string
	}{
		{0, "a0", "90", "80"},
		{15, "af", "9f", "8f"},
		{16, "b0", "dc0010", "de0010"},
		{31, "bf", "dc001f", "de001f"},
		{32, "d920", "dc0020", "de0020"},
		{255, "d9ff", "dc00ff", "de00ff"},
		{256, "da0100", "dc0100", "de0100"},
		{65535, "daffff", "dcffff", "deffff"},
		{65536, "db00010000", "dd00010000", "df00010000"},
	} {
		text := strings.Repeat("x", tt.n)
		str := appendStr(nil, text)
		if got, end := strAt(str, 0); !bytes.HasPrefix(str, fromHex(t, tt.str)) || string(got) != text || end != len(str) {
			t.Errorf("text of %d bytes begins %x", tt.n, str[:5])
		}
		array, pair := appendArray(nil, tt.n), appendMap(nil, tt.n)
		if !bytes.Equal(array, fromHex(t, tt.array)) || !bytes.Equal(pair, fromHex(t, tt.pair)) {
			t.Errorf("%d elements: heads %x and %x", tt.n, array, pair)
		}
		body := make([]byte, 2*tt.n) // zeros: integers
		if end := walk(append(array, body[:tt.n]...), 0, 1, hasTwin); end != len(array)+tt.n {
			t.Errorf("array of %d ends at %d", tt.n, end)
		}
		if end := walk(append(pair, body...), 0, 1, wellFormed); end != len(pair)+2*tt.n {
			t.Errorf("map of %d ends at %d", tt.n, end)
		}
	}
}

func TestEncodingsHaveTheNamesOfTheProtocol(t *testing.T) {
	if MsgPack.Subprotocol() != "tickcast.v1.msgpack" || JSON.Subprotocol() != "tickcast.v1.json" {
		t.Errorf("got %s and %s", MsgPack.Subprotocol(), JSON.Subprotocol())
	}
}
