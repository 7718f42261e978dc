// Package web holds the dashboard, built by Vite into dist and embedded into the binary,
// and serves it. A tree in which the page was never built compiles as well; its Handler says
// what is missing.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed all:dist
var dist embed.FS

// The page loads nothing and speaks to nobody but the node that served it. In connect-src,
// 'self' covers ws and wss of the same host and port too.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const notBuilt = "The dashboard is not built into this binary.\nRun `make web`, then build the streamer again.\n"

// Handler serves the page at / and its files beside it, for GET and HEAD. It answers 404 for
// what is not part of the page, and 503 at / where the page was not built.
func Handler() http.Handler {
	built, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(fmt.Sprintf("web: embedded dist: %v", err))
	}
	h, err := newHandler(built)
	if err != nil {
		panic(fmt.Sprintf("web: embedded page: %v", err))
	}
	return h
}

// A file is complete in memory: the page is some hundreds of kilobytes, and never changes while
// the process lives.
type file struct {
	body         []byte
	contentType  string
	cacheControl string
	etag         string
}

type handler struct {
	files map[string]file // by URL path; index.html is at /
}

func newHandler(built fs.FS) (*handler, error) {
	h := &handler{files: make(map[string]file)}
	err := fs.WalkDir(built, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		body, err := fs.ReadFile(built, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		h.files[urlPath(name)] = file{
			body:         body,
			contentType:  contentType(name),
			cacheControl: cacheControl(name),
			etag:         `"` + hex.EncodeToString(sum[:8]) + `"`,
		}
		return nil
	})
	return h, err
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Security-Policy", contentSecurityPolicy)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		head.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	f, ok := h.files[r.URL.Path]
	switch {
	case !ok && r.URL.Path == "/":
		head.Set("Cache-Control", "no-store")
		http.Error(w, notBuilt, http.StatusServiceUnavailable)
	case !ok:
		http.NotFound(w, r)
	default:
		head.Set("Content-Type", f.contentType)
		head.Set("Cache-Control", f.cacheControl)
		head.Set("ETag", f.etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
	}
}

func urlPath(name string) string {
	if name == "index.html" {
		return "/"
	}
	return "/" + name
}

// Vite names what it puts under assets by a hash of the content; all other names stay the same
// from build to build, so a browser must ask whether they changed.
func cacheControl(name string) string {
	if strings.HasPrefix(name, "assets/") {
		return "public, max-age=31536000, immutable"
	}
	return "no-cache"
}

// The types that the page cannot do without are fixed here: package mime reads the machine's
// own tables, and with nosniff a script of the wrong type does not run.
func contentType(name string) string {
	switch ext := path.Ext(name); ext {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		if t := mime.TypeByExtension(ext); t != "" {
			return t
		}
		return "application/octet-stream"
	}
}
