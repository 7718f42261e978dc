package replay

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// lineBytesMax bounds a line: order book snapshots of 2 MB were seen.
const lineBytesMax = 4 << 20

var errLong = fmt.Errorf("line of more than %d bytes", lineBytesMax)

// lines reads a recording line by line.
type lines struct {
	file   *counted
	inner  io.Closer // of the decompressor, may be nil
	buf    *bufio.Reader
	long   []byte // holds a line that buf cannot
	number int    // of the line last read, from 1
}

// openLines opens the recording at path: within a zip the entry of that name, else
// decompressed if the content says that it is a gzip.
func openLines(path, entry string) (*lines, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	l := &lines{file: &counted{File: f}}
	if err := l.open(entry); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *lines) open(entry string) error {
	if entry != "" {
		info, err := l.file.Stat()
		if err != nil {
			return err
		}
		archive, err := zip.NewReader(l.file, info.Size())
		if err != nil {
			return err
		}
		inner, err := archive.Open(entry)
		if err != nil {
			return err
		}
		l.inner, l.buf = inner, bufio.NewReaderSize(inner, 64<<10)
		return nil
	}
	l.buf = bufio.NewReaderSize(l.file, 64<<10)
	if magic, _ := l.buf.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		inner, err := gzip.NewReader(l.buf)
		if err != nil {
			return err
		}
		l.inner, l.buf = inner, bufio.NewReaderSize(inner, 64<<10)
	}
	return nil
}

func (l *lines) close() {
	if l.inner != nil {
		l.inner.Close() //nolint:errcheck // only read from
	}
	l.file.Close() //nolint:errcheck // only read from
}

// next returns the next line without its end; it holds until the next call. After errLong
// the lines after that one follow. io.EOF is the end; any other error is damage, and what
// there was of the line under way is not returned: half a number is a wrong number.
func (l *lines) next() ([]byte, error) {
	l.number++
	l.long = l.long[:0]
	tooLong := false
	for {
		part, err := l.buf.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			if tooLong = tooLong || len(l.long)+len(part) > lineBytesMax; !tooLong {
				l.long = append(l.long, part...)
			}
			continue
		case err != nil && (!errors.Is(err, io.EOF) || len(l.long)+len(part) == 0):
			return nil, err
		case tooLong:
			return nil, errLong
		}
		if len(l.long) > 0 {
			l.long = append(l.long, part...)
			part = l.long
		}
		return bytes.TrimRight(part, "\r\n"), nil
	}
}

// counted counts the bytes read from a file.
type counted struct {
	*os.File
	n int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.File.Read(b)
	c.n += int64(n)
	return n, err
}

func (c *counted) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.File.ReadAt(b, at)
	c.n += int64(n)
	return n, err
}

// zipEntries returns the files in the zip at path, or nil if it is none.
func zipEntries(path string) ([]*zip.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	var magic [4]byte
	n, _ := io.ReadFull(f, magic[:]) // a shorter file is no zip
	f.Close()                        //nolint:errcheck // only read from
	if string(magic[:n]) != "PK\x03\x04" {
		return nil, nil
	}
	archive, err := zip.OpenReader(path)
	if err != nil {
		return nil, err
	}
	defer archive.Close() //nolint:errcheck // only read from
	var files []*zip.File
	for _, f := range archive.File {
		if !strings.HasSuffix(f.Name, "/") {
			files = append(files, f)
		}
	}
	if len(files) == 0 {
		return nil, errors.New("empty zip")
	}
	return files, nil
}
