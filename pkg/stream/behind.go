package stream

import "github.com/tickcast/tickcast/pkg/codec"

// Requests behind an auth wait for its check, which takes up to a second and more for who guesses:
// without a bound of their bytes, strangers would have a node hold megabytes for each of their connections,
// for a few hundred bytes that they send, compressed.
const (
	behindMax      = 64        // requests behind the one auth
	behindBytesMax = 256 << 10 // of them: a request of 64 KiB with as many names as it can hold takes more
	// behindShare is what part of the memory of slow sessions those of all sessions may take on top.
	behindShare = 8
)

// A request waits for the check of a token that came before it.
type request struct {
	req   codec.Request
	bad   *codec.RequestError
	bytes int
}

// waitBehind keeps a request until the check of the token before it is over. It reports false
// where there is no room.
func (s *session) waitBehind(req *codec.Request, bad *codec.RequestError) bool {
	r, sh, bytes := s.rights, s.sh, memoryOf(req)
	if len(r.behind) == behindMax || r.behindBytes+bytes > behindBytesMax || sh.behindBytes+bytes > sh.memory/behindShare {
		return false
	}
	r.behind = append(r.behind, request{*req, bad, bytes})
	r.behindBytes += bytes
	sh.behindBytes += bytes
	return true
}

// memoryOf is about what a request takes, decoded.
func memoryOf(req *codec.Request) int {
	const whole, name, entry = 256, 16, 64
	bytes := whole + len(req.Token) + len(req.Policy) + len(req.After)*entry
	for _, symbol := range req.Symbols {
		bytes += name + len(symbol)
	}
	for stream := range req.After {
		bytes += len(stream.Symbol)
	}
	return bytes
}

// carryOutBehind goes on with what waited, until the next auth of it.
func (s *session) carryOutBehind() {
	r := s.rights
	for len(r.behind) > 0 && !r.checking && !s.ending() {
		next := r.behind[0]
		r.behind[0] = request{}
		r.behind = r.behind[1:]
		r.behindBytes -= next.bytes
		s.sh.behindBytes -= next.bytes
		s.carryOut(&next.req, next.bad)
	}
}

// forgetBehind is for a session that has ended.
func (s *session) forgetBehind() {
	if r := s.rights; r != nil {
		s.sh.behindBytes -= r.behindBytes
		r.behind, r.behindBytes = nil, 0
	}
}
