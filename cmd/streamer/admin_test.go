package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A browser sends the name by which it found an address; its user's own are no site's.
func TestAdminAnswersToNoStrangersName(t *testing.T) {
	h := ownHosts(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	for host, want := range map[string]int{
		"localhost:9090": 200, "localhost": 200, "127.0.0.1:9090": 200, "[::1]:9090": 200, "[::1]": 200, "10.1.2.3:80": 200,
		"rebound.example:9090": 421, "localhost.rebound.example": 421, "127.0.0.1.rebound.example:9090": 421, "": 200,
	} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("host %q: %d, want %d", host, w.Code, want)
		}
	}
}
