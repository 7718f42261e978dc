package fleet

import (
	"bytes"
	"io"

	"github.com/klauspost/compress/flate"
)

// An inflater inflates messages one after the other, each by itself.
type inflater struct {
	in  bytes.Buffer
	r   io.ReadCloser
	out bytes.Buffer
}

// inflate returns the message, valid until the next call.
func (f *inflater) inflate(b []byte) ([]byte, error) {
	f.in.Reset()
	f.in.Write(b)
	f.in.WriteString("\x00\x00\xff\xff\x01\x00\x00\xff\xff") // RFC 7692 7.2.2, and an end
	if f.r == nil {
		f.r = flate.NewReader(&f.in)
	} else if err := f.r.(flate.Resetter).Reset(&f.in, nil); err != nil {
		return nil, err
	}
	f.out.Reset()
	_, err := f.out.ReadFrom(f.r)
	return f.out.Bytes(), err
}
