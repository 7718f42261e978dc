package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	keySetTimeout  = 5 * time.Second
	keySetBytesMax = 1 << 20
)

// A keySet is fetched from a URL.
type keySet struct {
	url    string
	client *http.Client
}

func newKeySet(address string) *keySet {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // minutes lie between two fetches
	return &keySet{url: address, client: &http.Client{
		Timeout: keySetTimeout, Transport: transport,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) >= 3 {
				return errors.New("too many redirects")
			}
			return checkKeySetURL(r.URL.String())
		},
	}}
}

// checkKeySetURL wants https, since whoever writes the key set signs the tokens. On this machine
// http will do.
func checkKeySetURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return errors.New("is no URL")
	}
	local := u.Hostname() == "localhost"
	if ip := net.ParseIP(u.Hostname()); ip != nil {
		local = ip.IsLoopback()
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return errors.New("is no https:// URL, nor http:// on this machine")
	}
	return nil
}

func (s *keySet) fetch(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := s.client.Do(req)
	if failed := (*url.Error)(nil); errors.As(err, &failed) {
		return nil, failed.Err // without the URL, in which there may be a key or a password
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %s", resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, keySetBytesMax+1))
	if err == nil && len(text) > keySetBytesMax {
		err = fmt.Errorf("more than %d bytes", keySetBytesMax)
	}
	return text, err
}
