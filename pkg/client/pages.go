package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/tickcast/tickcast/pkg/codec"
)

// Listing is a symbol that a node knows, and the channels that its feed announced.
type Listing struct {
	Symbol   string
	Channels []Channel
}

// Symbols asks a node, by the URL of its stream, for the symbols that it knows now and the
// token allows, in order. It opens no stream. Of the options, those for tokens and TLS count.
func Symbols(ctx context.Context, rawURL string, opts ...Option) ([]Listing, error) {
	body, err := getPage(ctx, rawURL, "symbols", nil, opts)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Symbol   string   `json:"symbol"`
		Channels []string `json:"channels"`
	}
	if err := json.Unmarshal(body, &rows); err != nil {
		return nil, fmt.Errorf("%w: list of symbols: %w", ErrProtocol, err)
	}
	all := make([]Listing, len(rows))
	for i, row := range rows {
		all[i].Symbol = row.Symbol
		for _, name := range row.Channels {
			if ch, known := ParseChannel(name); known {
				all[i].Channels = append(all[i].Channels, ch)
			}
		}
	}
	return all, nil
}

// Snapshots asks a node, by the URL of its stream, for the last event of each of the
// streams: a [Trade], [Quote] or [Bar]. Symbols that are unknown and streams without an
// event are left out; if all symbols are unknown the error is [ErrUnknownSymbol]. A node
// takes up to 1,000 symbols at a time, and none with a comma in its name.
func Snapshots(ctx context.Context, rawURL string, channels []Channel, symbols []string, opts ...Option) ([]Event, error) {
	names := make([]string, len(channels))
	for i, ch := range channels {
		names[i] = ch.String()
	}
	query := url.Values{"symbols": {strings.Join(symbols, ",")}, "channels": {strings.Join(names, ",")}}
	body, err := getPage(ctx, rawURL, "snapshot", query, opts)
	if err != nil {
		return nil, err
	}
	events, err := codec.DecodeBatch(codec.JSON, body)
	if err != nil {
		return nil, fmt.Errorf("%w: snapshots: %w", ErrProtocol, err)
	}
	return events, nil
}

// pageBytesMax bounds an answer: many times what 10,000 symbols take.
const pageBytesMax = 32 << 20

// getPage asks for a page that stands beside the stream.
func getPage(ctx context.Context, rawURL, page string, query url.Values, opts []Option) ([]byte, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	o := newOptions(opts)
	u = u.ResolveReference(&url.URL{Path: page, RawQuery: query.Encode()})
	u.Scheme = "http" + strings.TrimPrefix(u.Scheme, "ws")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	token, err := o.fetchToken(ctx)
	if err != nil {
		return nil, fmt.Errorf("client: token: %w", err)
	}
	if token.Value != "" {
		req.Header.Set("Authorization", "Bearer "+token.Value)
	}
	req.Header.Set("User-Agent", userAgent)
	transport := &http.Transport{TLSClientConfig: o.tls, DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		err := httpError(resp)
		if resp.StatusCode == http.StatusNotFound && page == "snapshot" {
			err.Code = int(codec.CodeUnknownSymbol)
		}
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, pageBytesMax))
	if err != nil {
		return nil, fmt.Errorf("client: %s: %w", page, err)
	}
	return body, nil
}
