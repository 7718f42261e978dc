package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

var builtPage = fstest.MapFS{
	".keep":                {},
	"index.html":           {Data: []byte("<!doctype html>page")},
	"favicon.svg":          {Data: []byte("<svg/>")},
	"assets/index-1a2b.js": {Data: []byte("run()")},
	"assets/font-3c4d.bin": {Data: []byte{1, 2}},
}

func serve(t *testing.T, files fstest.MapFS, r *http.Request) *http.Response {
	t.Helper()
	h, err := newHandler(files)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestHandlerServesThePage(t *testing.T) {
	const kept, asked = "public, max-age=31536000, immutable", "no-cache"
	for _, tt := range []struct {
		name, method, path, wantType, wantCache string
		wantStatus                              int
	}{
		{"the page itself is asked for anew", "GET", "/", "text/html; charset=utf-8", asked, 200},
		{"its head too", "HEAD", "/", "text/html; charset=utf-8", asked, 200},
		{"a hashed script is kept", "GET", "/assets/index-1a2b.js", "text/javascript; charset=utf-8", kept, 200},
		{"an unknown type is plain bytes", "GET", "/assets/font-3c4d.bin", "application/octet-stream", kept, 200},
		{"a file without a hash is asked for anew", "GET", "/favicon.svg", "image/svg+xml", asked, 200},
		{"the page has one address", "GET", "/index.html", "text/plain; charset=utf-8", "", 404},
		{"a folder has no listing", "GET", "/assets/", "text/plain; charset=utf-8", "", 404},
		{"a hidden file is none", "GET", "/.keep", "text/plain; charset=utf-8", "", 404},
		{"a way out leads nowhere", "GET", "/../embed.go", "text/plain; charset=utf-8", "", 404},
		{"nothing is taken", "POST", "/", "text/plain; charset=utf-8", "", 405},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := serve(t, builtPage, httptest.NewRequest(tt.method, tt.path, nil))
			if res.StatusCode != tt.wantStatus {
				t.Errorf("%s %s: got status %d, want %d", tt.method, tt.path, res.StatusCode, tt.wantStatus)
			}
			if got := res.Header.Get("Content-Type"); got != tt.wantType {
				t.Errorf("%s %s: got type %q, want %q", tt.method, tt.path, got, tt.wantType)
			}
			if got := res.Header.Get("Cache-Control"); got != tt.wantCache {
				t.Errorf("%s %s: got Cache-Control %q, want %q", tt.method, tt.path, got, tt.wantCache)
			}
		})
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	for _, path := range []string{"/", "/assets/index-1a2b.js", "/nothing"} {
		head := serve(t, builtPage, httptest.NewRequest("GET", path, nil)).Header
		for name, want := range map[string]string{
			"Content-Security-Policy": "frame-ancestors 'none'",
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "no-referrer",
		} {
			if got := head.Get(name); !strings.Contains(got, want) {
				t.Errorf("%s: got %s %q, want %q in it", path, name, got, want)
			}
		}
		if csp := head.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
			t.Errorf("%s: policy %q lets strangers in", path, csp)
		}
	}
}

func TestAnUnchangedPageIsNotSentAgain(t *testing.T) {
	first := serve(t, builtPage, httptest.NewRequest("GET", "/", nil))
	again := httptest.NewRequest("GET", "/", nil)
	again.Header.Set("If-None-Match", first.Header.Get("ETag"))
	if got := serve(t, builtPage, again).StatusCode; got != http.StatusNotModified {
		t.Errorf("got status %d, want 304", got)
	}
}

func TestAPageThatIsNotBuiltSaysHow(t *testing.T) {
	res := serve(t, fstest.MapFS{".keep": {}}, httptest.NewRequest("GET", "/", nil))
	if res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got status %d, want 503", res.StatusCode)
	}
	var body strings.Builder
	if err := res.Write(&body); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(body.String(), "make web") {
		t.Errorf("got %q, want the command that builds the page", body.String())
	}
}

// Holds with and without a built page.
func TestTheEmbeddedHandlerAnswers(t *testing.T) {
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != http.StatusOK && w.Code != http.StatusServiceUnavailable {
		t.Errorf("got status %d, want 200 or 503", w.Code)
	}
}
