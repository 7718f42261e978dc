package stream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tickcast/tickcast/pkg/auth"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
	"github.com/tickcast/tickcast/pkg/subscribe"
)

// A gate checks tokens. A check may wait for a key, so that of an auth request has a goroutine
// for as long as it takes, and the session has one under way at the most.
type gate struct {
	*auth.Verifier
	timeout time.Duration // for the auth request

	ctx   context.Context // ends with the node
	begin func(func()) bool

	failures *[len(authReasons)]atomic.Int64
}

// Why a token did not let its bearer in.
const (
	authRefused = iota // it is none, or not valid, or revoked
	authKeys           // the keys to check it with cannot be read
	authMissing        // there was none
	authLate           // none that is valid came in time
)

// authReasons are the labels of those.
var authReasons = [...]string{"refused", "keys", "missing", "late"}

func (g *gate) failed(why int) { g.failures[why].Add(1) }

// check is Verify, counted.
func (g *gate) check(ctx context.Context, token string) (*auth.Grant, error) {
	grant, err := g.Verify(ctx, token)
	switch {
	case errors.Is(err, auth.ErrKeys):
		g.failed(authKeys)
	case err != nil:
		g.failed(authRefused)
	}
	return grant, err
}

func (n *Node) newGate() *gate {
	if n.cfg.Auth == nil {
		return nil
	}
	return &gate{Verifier: n.cfg.Auth, timeout: n.cfg.AuthTimeout, ctx: n.ctx, begin: n.begin, failures: &n.authFailures}
}

// follow keeps keys and deny list up to date until ctx ends, and has sessions whose token was
// revoked sent away.
func (n *Node) follow(ctx context.Context) {
	n.gate.Run(ctx, func() {
		for _, sh := range n.shards {
			sh.do(func() {
				for _, s := range sh.sessions {
					s.checkRevoked()
				}
			})
		}
	})
}

// bearer takes the token out of a request's header: never out of its URL, which ends up in logs.
func bearer(h http.Header) (token string, given bool, err error) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return "", false, nil
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if len(values) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", true, errors.New("authorization wants one Bearer token")
	}
	return strings.TrimSpace(token), true, nil
}

// authorize checks the request's token. The grant is nil if the node asks for none, or if the
// request has none.
func (n *Node) authorize(r *http.Request) (*auth.Grant, *refusal) {
	if n.gate == nil {
		return nil, nil
	}
	token, given, err := bearer(r.Header)
	if !given {
		return nil, nil
	}
	var g *auth.Grant
	if err != nil {
		n.gate.failed(authRefused)
	} else {
		g, err = n.gate.check(r.Context(), token)
	}
	switch {
	case errors.Is(err, auth.ErrKeys):
		return nil, busy(err.Error(), 5)
	case err != nil:
		return nil, unauthorized(err.Error(), `Bearer error="invalid_token"`)
	}
	if _, err := n.ingestAt(g.Delay); err != nil {
		return nil, busy(err.Error(), 5)
	}
	return g, nil
}

func unauthorized(reason, challenge string) *refusal {
	return &refusal{status: http.StatusUnauthorized, reason: reason, header: http.Header{"Www-Authenticate": {challenge}}}
}

// rights are what a session may do where tokens are asked for. They belong to its shard. Those
// of a session of a node that asks for none are nil.
type rights struct {
	gate  *gate
	grant *auth.Grant // what the token says; nil without one

	authBy   int64 // when a session without a token is sent away; 0 = it has one
	endsAt   int64 // when the token runs out; 0 = never
	checking bool  // an auth request is under way
	failed   int   // so many checks, one after the other

	behind      []request
	behindBytes int

	batchEvery int64 // the least time between two batches; 0 = none
	batchAt    int64 // when the next may go
}

// codeBusy is the close code for what the node has no room for: try another.
const codeBusy = 1013

// retryAuth is what a session without a valid token is told to wait.
const retryAuth = time.Second

// state is what hello says.
func (r *rights) state() string {
	switch {
	case r == nil:
		return "none"
	case r.unproven():
		return "required"
	}
	return "ok"
}

// unproven says that a token is asked for and none has come yet.
func (r *rights) unproven() bool { return r != nil && r.grant == nil }

// allows says whether the session may see the stream, known or not.
func (r *rights) allows(symbol string, ch market.Channel) bool {
	return r == nil || r.grant != nil && r.grant.Allows(symbol, ch)
}

// allowsAll says whether the session may see the symbol on all of the channels.
func (r *rights) allowsAll(symbol string, channels []market.Channel) bool {
	return !slices.ContainsFunc(channels, func(ch market.Channel) bool { return !r.allows(symbol, ch) })
}

func (r *rights) allowsChannel(ch market.Channel) bool {
	return r == nil || r.grant != nil && r.grant.AllowsChannel(ch)
}

// delay is how far behind the market the holder is.
func (r *rights) delay() time.Duration {
	if r == nil || r.grant == nil {
		return 0
	}
	return r.grant.Delay
}

// symbolsMax is how many symbols the session may name.
func (s *session) symbolsMax() int {
	if s.rights == nil || s.rights.unproven() {
		return s.sh.cfg.MaxSymbols
	}
	return min(s.sh.cfg.MaxSymbols, s.rights.grant.MaxSymbols)
}

// openRights begins the time for the auth request, or that of the token that came with the
// upgrade.
func (s *session) openRights() {
	r := s.rights
	switch {
	case r == nil:
	case r.grant == nil:
		s.sh.counts.unproven.Add(1)
		r.authBy = s.sh.now + int64(r.gate.timeout)
		s.sh.timers.sooner(s, r.authBy)
	default:
		if err := s.adopt(r.grant); err != nil {
			s.shut(codeBusy, err.Error(), retryAuth)
		}
		s.checkRevoked() // since it was checked
	}
}

// adopt gives the session what the grant says. It fails, and changes nothing, where that needs
// another view than the session's, which has subscriptions.
func (s *session) adopt(g *auth.Grant) error {
	in, err := s.sh.viewAt(g.Delay)
	if err != nil {
		return err
	}
	v := s.sh.viewOf(in)
	if v != s.view && (s.asked != nil || s.set.Len() > 0 || s.wildcards() > 0) {
		return errOtherDelay
	}
	s.view = v
	r := s.rights
	if r.unproven() {
		s.sh.counts.unproven.Add(-1)
	}
	r.grant, r.authBy = g, 0
	r.endsAt = 0
	if !g.Expires.IsZero() {
		left := min(g.Expires.Sub(time.Unix(0, s.sh.wall)), expiryMax)
		r.endsAt = s.sh.now + int64(left)
		s.sh.timers.sooner(s, r.endsAt)
	}
	r.batchEvery = 0
	if g.MaxRateHz > 0 {
		r.batchEvery = int64(float64(time.Second) / g.MaxRateHz)
	}
	r.batchAt = min(r.batchAt, s.sh.now+r.batchEvery) // a token of fewer batches may have set it far ahead
	s.keepToPolicies()
	s.set.Narrow(func(id subscribe.ID) bool { return g.Allows(v.symbolOf(id), id.Channel()) })
	return nil
}

// expiryMax keeps a token's end, which may lie millions of years ahead, within a shard's clock.
const expiryMax = 100 * 365 * 24 * time.Hour

// errOtherDelay: what was seen without a delay cannot go on with one, and the other way round.
var errOtherDelay = errors.New("a token with another delay_s needs a connection without subscriptions")

func (s *session) checkRevoked() {
	if r := s.rights; r.grant != nil && r.gate.Denied(r.grant) {
		s.shut(int(codec.CodeUnauthenticated), "the token was revoked", retryAuth)
	}
}

// checkRights sends the session away when the time for its token, or of its token, is over.
func (s *session) checkRights() {
	r := s.rights
	switch {
	case r == nil:
	case r.authBy != 0 && s.sh.now >= r.authBy:
		if !s.ending() {
			r.gate.failed(authLate)
		}
		s.shut(int(codec.CodeUnauthenticated), "no valid token came in time", retryAuth)
	case r.endsAt != 0 && s.sh.now >= r.endsAt:
		s.shut(int(codec.CodeUnauthenticated), "the token has run out", retryAuth)
	}
}

// nextRights is the next time at which the session is to be looked at because of its token: no
// later than then.
func (s *session) nextRights(then int64) int64 {
	r := s.rights
	if r == nil {
		return then
	}
	for _, at := range []int64{r.authBy, r.endsAt} {
		if at != 0 {
			then = min(then, at)
		}
	}
	if r.batchAt > s.sh.now && !s.queue.Empty() {
		then = min(then, r.batchAt)
	}
	return then
}

// passes says whether a request may be carried out now. What it does not pass is answered, or
// waits for the check of a token.
func (s *session) passes(req *codec.Request, bad *codec.RequestError) bool {
	id := req.ID
	if bad != nil {
		id = bad.ID
	}
	r, perSecond := s.rights, s.sh.cfg.RequestsPerSecond
	switch {
	case !s.requests.take(s.sh.now, perSecond, requestsAtOnce*perSecond):
		s.refuse(id, codec.CodeTooMany, fmt.Sprintf("more than %d requests a second", perSecond))
		if !s.refusals.take(s.sh.now, perSecond, requestsAtOnce*perSecond) {
			s.shut(int(codec.CodeTooMany), "too many requests", retryFlood)
		}
	case r != nil && r.checking:
		if !s.waitBehind(req, bad) {
			s.refuse(id, codec.CodeTooMany, "too much behind an auth")
		}
	default:
		return true
	}
	return false
}

// authenticate has the token checked; requests behind it wait.
func (s *session) authenticate(req *codec.Request) {
	r := s.rights
	if r == nil {
		s.ack(&codec.Ack{ID: req.ID}) // nothing is asked for: every token is good
		return
	}
	r.checking = true
	id, token, gate, sh, wait := req.ID, req.Token, r.gate, s.sh, retryWait(r.failed)
	gate.begin(func() { // or the node ends, and the session with it
		sleep(gate.ctx, wait)
		g, err := gate.check(gate.ctx, token)
		sh.do(func() { s.verified(id, g, err) })
	})
}

const (
	retryFree    = 3
	retryWaitMin = 50 * time.Millisecond
	retryWaitMax = time.Second
)

// retryWait is how long the next token of a session waits that has had so many refused: who
// guesses, or wants to keep the processors busy, has some ten checks before the auth timeout.
func retryWait(failed int) time.Duration {
	if failed < retryFree {
		return 0
	}
	return min(retryWaitMin<<min(failed-retryFree, 10), retryWaitMax)
}

// verified answers an auth request, and carries out what waited for it.
func (s *session) verified(id *int64, g *auth.Grant, err error) {
	r := s.rights
	r.checking = false
	if s.ending() {
		return
	}
	r.failed++
	switch {
	case errors.Is(err, auth.ErrKeys):
		s.refuse(id, codec.CodeServerFault, err.Error())
	case err != nil:
		s.refuse(id, codec.CodeUnauthenticated, err.Error())
	case r.gate.Denied(g):
		r.gate.failed(authRefused)
		s.refuse(id, codec.CodeUnauthenticated, "token refused: it was revoked")
	case !s.seat.give(g.Holder, g.MaxConnections):
		s.refuse(id, codec.CodeTooMany, "too many connections for this token")
	default:
		s.release(true) // was seen under the old token
		if err := s.adopt(g); err != nil {
			code := codec.CodeForbidden
			if errors.Is(err, errDelays) {
				code = codec.CodeServerFault
			}
			s.refuse(id, code, err.Error())
			break
		}
		r.failed = 0
		s.ack(&codec.Ack{ID: id})
		s.endForbidden()
		s.endExcess()
	}
	s.carryOutBehind()
}
