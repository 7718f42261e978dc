package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// fromTokens is the slow and obvious twin of appendFromJSON.
func fromTokens(data []byte) ([]byte, error) {
	if err := checkJSONText(data); err != nil {
		return nil, err
	}
	if !json.Valid(data) {
		return nil, ErrMalformed
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	return appendNext(nil, dec)
}

// appendNext appends one value.
func appendNext(dst []byte, dec *json.Decoder) ([]byte, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case string:
		return appendStr(dst, v), nil
	case bool:
		return appendBool(dst, v), nil
	case json.Number:
		return appendNumber(dst, v.String())
	case nil:
		return append(dst, mpNil), nil
	}
	kind, each := byte(mpArray32), 1 // json.Delim is what is left
	if token == json.Delim('{') {
		kind, each = mpMap32, 2
	}
	values, inside := 0, []byte(nil)
	for ; dec.More(); values++ {
		if inside, err = appendNext(inside, dec); err != nil {
			return nil, err
		}
	}
	dst = append(be.AppendUint32(append(dst, kind), uint32(values/each)), inside...)
	_, err = dec.Token()
	return dst, err
}

// FuzzFromJSON: JSON becomes what it does token by token.
func FuzzFromJSON(f *testing.F) {
	for _, text := range []string{
		``, ` `, `0`, ` -1 `, `-0`, `1e400`, `1.5E+3`, `18446744073709551616`, `"`, `"\"`, `"\\"`, `"\\\""`, `"a\u00e9\ud83d\ude00"`, `"é"`, `"` + "\x7f" + `"`,
		`[]`, `[[],{}]`, `[1,2 , 3]`, `[1,]`, `{"a":1,"a":[true,false,null]}`, `{"a" : "}]" , "b":{"":"\n"}}`, `{"a"}`, `[1 2]`, `1 2`, `tru`, `nul`, `[}`, `{]`,
		`{"op":"ping","x":[` + strings.Repeat("0,", 100) + `0]}`, strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth), strings.Repeat(`{"":`, MaxDepth+1),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		want, refused := fromTokens(text)
		got, err := appendFromJSON(nil, text)
		if (err == nil) != (refused == nil) || !bytes.Equal(got, want) {
			t.Fatalf("%q became %x, %v; want %x, %v", text, got, err, want, refused)
		}
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%v is no ErrMalformed", err)
		}
	})
}

// A request of a few bytes, inflated to many small values, is no work for the collector.
func TestJSONOfManyValuesAllocatesLittle(t *testing.T) {
	text := []byte(`{"op":"ping","x":[` + strings.Repeat(`0,"a",-1.5,true,{},`, 3000) + `0]}`)
	if n := testing.AllocsPerRun(10, func() {
		if _, refused := DecodeRequest(JSON, text); refused != nil {
			t.Error(refused)
		}
	}); n > 20 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRequestOfManyValues(b *testing.B) {
	text := []byte(`{"op":"ping","x":[` + strings.Repeat("0,", 32_000) + `0]}`)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, refused := DecodeRequest(JSON, text); refused != nil {
			b.Fatal(refused)
		}
	}
}
