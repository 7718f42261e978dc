package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOnlyOKIsWell(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if err := check(server.URL); err != nil {
		t.Error(err)
	}
	status = http.StatusServiceUnavailable
	if check(server.URL) == nil {
		t.Error("503 is taken for well")
	}
	server.Close()
	if check(server.URL) == nil {
		t.Error("silence is taken for well")
	}
}
