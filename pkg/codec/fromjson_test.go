package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
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
	var dst []byte
	var open []container
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return dst, nil
		}
		if err != nil {
			return nil, err
		}
		if d, ok := token.(json.Delim); ok && (d == ']' || d == '}') {
			c := open[len(open)-1]
			open = open[:len(open)-1]
			if c.isMap {
				c.values /= 2
			}
			be.PutUint32(dst[c.head+1:], uint32(c.values))
			continue
		}
		if len(open) > 0 {
			open[len(open)-1].values++
		}
		switch v := token.(type) {
		case json.Delim:
			open = append(open, container{head: len(dst), isMap: v == '{'})
			dst = append(dst, map[json.Delim]byte{'[': mpArray32, '{': mpMap32}[v], 0, 0, 0, 0)
		case string:
			dst = appendStr(dst, v)
		case bool:
			dst = appendBool(dst, v)
		case nil:
			dst = append(dst, mpNil)
		case json.Number:
			if dst, err = appendNumber(dst, v.String()); err != nil {
				return nil, err
			}
		}
	}
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
