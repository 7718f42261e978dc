package eventloop

import (
	"errors"
	"io"

	"github.com/klauspost/compress/flate"
)

// The four bytes that RFC 7692 strips from a message, and an empty last block, so that the
// inflater ends there instead of asking for more.
const deflateTail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

// An inflater undoes permessage-deflate for every connection of a loop, one message at a
// time: no context is carried over, so a connection keeps nothing. Its zero value works.
type inflater struct {
	src   tailed
	flate io.ReadCloser // nil until the first message: it holds 40 KiB
	out   []byte
}

// inflate returns the message that p stands for, valid until the next call. It stops at the
// byte that exceeds limit, however far a small p would go.
func (f *inflater) inflate(p []byte, limit int) ([]byte, *fault) {
	f.src = tailed{p: p, tail: deflateTail}
	if f.flate == nil {
		f.flate = flate.NewReader(&f.src)
	} else if err := f.flate.(flate.Resetter).Reset(&f.src, nil); err != nil {
		return nil, errDeflate
	}
	defer func() { f.src = tailed{} }()

	if f.out == nil {
		f.out = make([]byte, 4<<10)
	}
	for n := 0; ; {
		got, err := f.flate.Read(f.out[n:])
		n += got
		switch {
		case n > limit:
			return nil, errTooBig
		case errors.Is(err, io.EOF):
			return f.out[:n], nil
		case err != nil:
			return nil, errDeflate
		}
		if n == len(f.out) {
			f.out = append(f.out, make([]byte, min(n, limit+1-n))...)
		}
	}
}

// tailed reads p and then tail. It is an io.ByteReader, or flate would buffer it.
type tailed struct {
	p    []byte
	tail string
}

func (t *tailed) Read(b []byte) (int, error) {
	if len(t.p) > 0 {
		n := copy(b, t.p)
		t.p = t.p[n:]
		return n, nil
	}
	if len(t.tail) > 0 {
		n := copy(b, t.tail)
		t.tail = t.tail[n:]
		return n, nil
	}
	return 0, io.EOF
}

func (t *tailed) ReadByte() (byte, error) {
	if len(t.p) > 0 {
		b := t.p[0]
		t.p = t.p[1:]
		return b, nil
	}
	if len(t.tail) > 0 {
		b := t.tail[0]
		t.tail = t.tail[1:]
		return b, nil
	}
	return 0, io.EOF
}
