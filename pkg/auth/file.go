package auth

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// A file is read again when it has changed.
type file struct {
	name string
	seen fs.FileInfo
}

// fileBytesMax keeps a wrong name from filling the memory.
const fileBytesMax = 64 << 20

// changed returns the file's text if it is not the one that was returned before. Files that
// are replaced by renaming, and links that are moved, count as changed.
func (f *file) changed() (text []byte, ok bool, err error) {
	info, err := os.Stat(f.name)
	if err != nil {
		return nil, false, err
	}
	if f.seen != nil && os.SameFile(f.seen, info) && f.seen.ModTime().Equal(info.ModTime()) && f.seen.Size() == info.Size() {
		return nil, false, nil
	}
	if info.Size() > fileBytesMax {
		return nil, false, fmt.Errorf("%s: %d bytes, at most %d", f.name, info.Size(), fileBytesMax)
	}
	if text, err = os.ReadFile(f.name); err != nil {
		return nil, false, err
	}
	// A change within the clock's grain of the one before would not show in the times.
	if time.Since(info.ModTime()) > time.Second {
		f.seen = info
	} else {
		f.seen = nil
	}
	return text, true, nil
}

// A denyList names tokens by jti, and holders by sub, that are let in no more.
type denyList map[denied]struct{}

type denied struct{ claim, value string }

// parseDenyList reads lines of "jti VALUE" or "sub VALUE", or with a colon in place of the
// space. Empty lines and those that begin with # say nothing.
func parseDenyList(text []byte) (denyList, error) {
	list := make(denyList)
	scan := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; scan.Scan(); n++ {
		line := strings.TrimSpace(scan.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.IndexAny(line, ": \t")
		if i < 0 || line[:i] != "jti" && line[:i] != "sub" || strings.TrimSpace(line[i+1:]) == "" {
			return nil, fmt.Errorf("line %d: want jti:VALUE or sub:VALUE", n)
		}
		list[denied{line[:i], strings.TrimSpace(line[i+1:])}] = struct{}{}
	}
	return list, scan.Err()
}

func (l denyList) denies(g *Grant) bool {
	_, byID := l[denied{"jti", g.ID}]
	_, bySubject := l[denied{"sub", g.Subject}]
	return byID || bySubject
}
