package stream

import (
	"bytes"
	"context"
	"net/http"
	"net/textproto"
	"strings"
)

// An earlyReader reads upgrade requests that are whole and plain. The request that it returns is
// its own, until it reads the next: in a crowd, what textproto makes of each head would be most of
// the garbage, and a quarter of the time before the answer.
type earlyReader struct {
	r      *http.Request
	values []string          // of the header, one by one
	names  map[string]string // as they are written -> as net/http has them
}

// valuesMax is how many header lines a plain request has at most; a browser sends some 15.
const valuesMax = 32

func newEarlyReader(ctx context.Context) earlyReader {
	r := &http.Request{Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header)}
	return earlyReader{r: r.WithContext(ctx), values: make([]string, 0, valuesMax), names: make(map[string]string)}
}

const earlyLine = "GET /v1/stream HTTP/1.1\r\n"

// read returns nil for what is no whole request for the stream, or not plainly one. A token
// is for net/http's goroutine too: to check it takes a while.
func (d *earlyReader) read(said []byte) (r *http.Request, rest []byte) {
	lines, found := bytes.CutPrefix(said, []byte(earlyLine))
	end := bytes.Index(lines, []byte("\r\n\r\n"))
	if !found || end < 0 || !d.readHeader(string(lines[:end])) {
		return nil, nil
	}
	header := d.r.Header
	hosts := header["Host"]
	if len(hosts) != 1 || strings.ContainsFunc(hosts[0], unusualInHost) {
		return nil, nil
	}
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "Expect", "Authorization"} {
		if header[name] != nil {
			return nil, nil
		}
	}
	d.r.Host = hosts[0]
	return d.r, lines[end+len("\r\n\r\n"):]
}

// readHeader reports false for what net/http refuses, and for some that it takes.
func (d *earlyReader) readHeader(lines string) bool {
	clear(d.r.Header)
	d.values = d.values[:0]
	for line := range strings.SplitSeq(lines, "\r\n") {
		name, value, found := strings.Cut(line, ":")
		if !found || name == "" || strings.ContainsFunc(name, unusualInName) || len(d.values) == valuesMax {
			return false
		}
		value = strings.Trim(value, " \t")
		for i := range len(value) {
			if value[i] < ' ' || value[i] > '~' {
				return false
			}
		}
		name = d.canonical(name)
		if others := d.r.Header[name]; others != nil {
			d.r.Header[name] = append(others, value)
			continue
		}
		n := len(d.values)
		d.values = append(d.values, value)
		d.r.Header[name] = d.values[n : n+1 : n+1]
	}
	return true
}

// namesMax bounds the names that are remembered: browsers and libraries use some 30.
const namesMax = 128

// canonical is a header's name as net/http has it, which allocates for those of WebSocket.
func (d *earlyReader) canonical(name string) string {
	known, ok := d.names[name]
	if !ok {
		known = textproto.CanonicalMIMEHeaderKey(name)
		if len(d.names) < namesMax {
			d.names[strings.Clone(name)] = strings.Clone(known)
		}
	}
	return known
}

func unusualInName(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_')
}

func unusualInHost(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-._:[]", c))
}
