// Package otlptest is a collector for tests: it takes traces by OTLP over HTTP, and keeps them.
package otlptest

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A Span is one span as it came; a Parent of "" has none.
type Span struct {
	Service           string
	Trace, ID, Parent string
	Name              string
	From, To          uint64 // Unix ns
	Failed            bool
	Events            []string
	Attributes        map[string]string // numbers and bools are left out
}

// A Collector keeps the spans that it is sent.
type Collector struct {
	URL string // for OTEL_EXPORTER_OTLP_ENDPOINT

	mu    sync.Mutex
	spans []Span
}

// Start returns one that runs until the test ends.
func Start(t *testing.T) *Collector {
	t.Helper()
	c := &Collector{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", c.take)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// Spans returns what has come so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

func (c *Collector) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var all collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &all)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	for _, of := range all.ResourceSpans {
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, read(s, texts(of.Resource.Attributes)["service.name"]))
			}
		}
	}
	c.mu.Unlock()
	answer, _ := proto.Marshal(&collector.ExportTraceServiceResponse{}) // an empty message has no fault
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(answer)
}

func read(s *trace.Span, service string) Span {
	span := Span{
		Service: service, Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId),
		Name: s.Name, From: s.StartTimeUnixNano, To: s.EndTimeUnixNano,
		Failed: s.Status.GetCode() == trace.Status_STATUS_CODE_ERROR, Attributes: texts(s.Attributes),
	}
	for _, ev := range s.Events {
		span.Events = append(span.Events, ev.Name)
	}
	return span
}

func texts(all []*common.KeyValue) map[string]string {
	m := make(map[string]string)
	for _, kv := range all {
		if text, ok := kv.Value.GetValue().(*common.AnyValue_StringValue); ok {
			m[kv.Key] = text.StringValue
		}
	}
	return m
}
