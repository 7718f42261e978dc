package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOnlyOKIsWell(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/well" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	gone := httptest.NewServer(nil)
	gone.Close()
	defer server.Close()
	for _, tt := range []struct {
		name   string
		args   []string
		status int
	}{
		{"well", []string{server.URL + "/well"}, 0},
		{"unwell", []string{server.URL + "/ill"}, 1},
		{"nobody there", []string{gone.URL}, 1},
		{"no page", nil, 2},
		{"two pages", []string{server.URL, server.URL}, 2},
		{"no URL", []string{"127.0.0.1:9090"}, 2},
		{"no HTTP", []string{"ws://127.0.0.1:9090"}, 2},
		{"a question", []string{"--help"}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := run(tt.args); got != tt.status {
				t.Errorf("exit status %d, want %d", got, tt.status)
			}
		})
	}
}
