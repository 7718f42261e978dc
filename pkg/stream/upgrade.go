package stream

import (
	"bufio"
	"encoding/base64"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lxzan/gws"

	"github.com/tickcast/tickcast/pkg/codec"
)

// A refusal is why an upgrade request gets an HTTP answer instead of a WebSocket.
type refusal struct {
	status int
	reason string
	header http.Header // beside the usual ones
}

// checkUpgrade holds a request against RFC 6455 section 4.2.1, because gws passes some that
// it should not: a key that is not 16 bytes of base64, HTTP/1.0, a wrong version answered by
// 400 without Sec-WebSocket-Version. It reports nil if gws may answer.
func checkUpgrade(r *http.Request) *refusal {
	switch {
	case r.Method != http.MethodGet:
		return &refusal{status: http.StatusMethodNotAllowed, reason: "the stream is opened by GET", header: http.Header{"Allow": {"GET"}}}
	case !hasToken(r.Header, "Upgrade", "websocket"):
		return &refusal{status: http.StatusUpgradeRequired, reason: "a WebSocket upgrade is required", header: http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}}
	case !hasToken(r.Header, "Connection", "upgrade"):
		return &refusal{status: http.StatusBadRequest, reason: "Connection does not say upgrade"}
	case !r.ProtoAtLeast(1, 1):
		return &refusal{status: http.StatusBadRequest, reason: "HTTP/1.1 is required"}
	case len(r.Header.Values("Sec-Websocket-Version")) != 1 || strings.TrimSpace(r.Header.Get("Sec-Websocket-Version")) != "13":
		return &refusal{status: http.StatusUpgradeRequired, reason: "WebSocket version 13 is required", header: http.Header{"Sec-Websocket-Version": {"13"}, "Upgrade": {"websocket"}, "Connection": {"Upgrade"}}}
	case r.ContentLength != 0: // -1 where it is not said: what came would be taken for frames
		return &refusal{status: http.StatusBadRequest, reason: "an upgrade request has no body", header: http.Header{"Connection": {"close"}}}
	}
	keys := r.Header.Values("Sec-Websocket-Key")
	if len(keys) != 1 {
		return &refusal{status: http.StatusBadRequest, reason: "one Sec-WebSocket-Key is required"}
	}
	if k, err := strictBase64.DecodeString(strings.TrimSpace(keys[0])); err != nil || len(k) != 16 {
		return &refusal{status: http.StatusBadRequest, reason: "Sec-WebSocket-Key is not 16 bytes of base64"}
	}
	return nil
}

var strictBase64 = base64.StdEncoding.Strict() // which makes a copy

// hasToken looks for a token in a comma-separated header of any number of lines.
func hasToken(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

func tokens(h http.Header, name string) []string {
	var all []string
	for _, line := range h.Values(name) {
		for t := range strings.SplitSeq(line, ",") {
			if t = strings.TrimSpace(t); t != "" {
				all = append(all, t)
			}
		}
	}
	return all
}

// checkOrigin keeps pages of other sites out: a request without Origin is no browser's.
func checkOrigin(r *http.Request, allowed []string) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return slices.Contains(allowed, "*")
	}
	return strings.EqualFold(u.Host, r.Host) || slices.ContainsFunc(allowed, func(a string) bool {
		return a == "*" || strings.EqualFold(a, origin) || strings.EqualFold(a, u.Host)
	})
}

// sendBuffer is SO_SNDBUF, which the kernel doubles. Left to itself it takes megabytes for a
// subscriber that never reads, who is then noticed late.
const sendBuffer = 128 << 10

// An upgrader has gws answer upgrade requests that checkUpgrade passed.
type upgrader struct {
	// Whether the answer has permessage-deflate, and a subprotocol: gws looks for either in
	// the request only where it is configured.
	answers  [2][2]*gws.Upgrader
	compress bool
}

// An upgraded connection has had its answer.
type upgraded struct {
	*gws.Conn
	deflate bool
}

// newUpgrader takes what gws is to compress with, where it does more than answer requests:
// it makes its compressors at once, some 600 KiB each at the level BestSpeed.
// storage makes what each connection keeps for its handler; nil is gws's own.
func newUpgrader(cfg *Config, h gws.Event, storage func() gws.SessionStorage, with gws.PermessageDeflate) *upgrader {
	answer := func(deflate bool, protocols ...string) *gws.Upgrader {
		with.Enabled = deflate
		return gws.NewUpgrader(h, &gws.ServerOption{
			ReadMaxPayloadSize: codec.MaxRequestBytes,
			ReadBufferSize:     1024,
			CheckUtf8Enabled:   true,
			Logger:             gwsLog{cfg.Log},
			SubProtocols:       protocols,
			NewSession:         storage,
			PermessageDeflate:  with,
		})
	}
	u := &upgrader{compress: !cfg.NoCompression}
	for i, deflate := range []bool{false, true} {
		u.answers[i] = [2]*gws.Upgrader{answer(deflate), answer(deflate, codec.MsgPack.Subprotocol(), codec.JSON.Subprotocol())}
	}
	return u
}

// upgrade answers the request. Its headers are changed so that gws, which reads the first
// line of each and accepts any offer, says what was chosen here.
func (u *upgrader) upgrade(conn net.Conn, br *bufio.Reader, r *http.Request) (up upgraded, err error) {
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	up.deflate = chooseDeflate(r.Header, u.compress)
	deflate, protocol := 0, 0
	if up.deflate {
		deflate = 1
	}
	if r.Header.Get("Sec-Websocket-Protocol") != "" {
		protocol = 1
	}
	up.Conn, err = u.answers[deflate][protocol].UpgradeFromConn(conn, br, r)
	return up, err
}

// chooseEncoding picks the subprotocol in the server's order of preference. What gws is to
// answer is left in the header: one name, or none.
func chooseEncoding(h http.Header) codec.Encoding {
	offered := tokens(h, "Sec-Websocket-Protocol")
	h.Del("Sec-Websocket-Protocol")
	for _, e := range []codec.Encoding{codec.MsgPack, codec.JSON} {
		if slices.Contains(offered, e.Subprotocol()) {
			h.Set("Sec-Websocket-Protocol", e.Subprotocol())
			return e
		}
	}
	return codec.MsgPack
}

const deflateName = "permessage-deflate"

// chooseDeflate leaves the first offer of permessage-deflate that can be met as it stands
// (RFC 7692 section 7), or none: gws would accept any, whatever its parameters ask for.
func chooseDeflate(h http.Header, wanted bool) bool {
	offers := tokens(h, "Sec-Websocket-Extensions")
	h.Del("Sec-Websocket-Extensions")
	if !wanted {
		return false
	}
	for _, o := range offers {
		if deflateOfferGood(o) {
			h.Set("Sec-Websocket-Extensions", deflateName)
			return true
		}
	}
	return false
}

func deflateOfferGood(offer string) bool {
	parts := strings.Split(offer, ";")
	if strings.TrimSpace(parts[0]) != deflateName {
		return false
	}
	seen := map[string]bool{}
	for _, p := range parts[1:] {
		name, value, has := strings.Cut(strings.TrimSpace(p), "=")
		name, value = strings.TrimSpace(name), strings.Trim(strings.TrimSpace(value), `"`)
		if seen[name] {
			return false
		}
		seen[name] = true
		bits, err := strconv.Atoi(value)
		validBits := err == nil && bits >= 8 && bits <= 15 && value[0] != '0'
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			if has {
				return false
			}
		case "server_max_window_bits":
			if !has || !validBits || bits != 15 {
				return false // this side always compresses with the full window
			}
		case "client_max_window_bits":
			if has && !validBits {
				return false
			}
		default:
			return false
		}
	}
	return true
}
