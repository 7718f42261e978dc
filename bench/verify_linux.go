package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/tickcast/tickcast/bench/internal/books"
	"github.com/tickcast/tickcast/bench/internal/fleet"
	"github.com/tickcast/tickcast/bench/internal/wire"
	"github.com/tickcast/tickcast/pkg/codec"
	"github.com/tickcast/tickcast/pkg/market"
)

// verify keeps books for every subscriber of a running node: by all policies and both
// encodings in turn, with slow readers, and with reconnections that resume.
type verify struct {
	URL         string        `default:"ws://127.0.0.1:8080/v1/stream" help:"Where the node's stream is."`
	Subscribers int           `default:"200" help:"How many connections."`
	Symbols     int           `default:"10" help:"Symbols that each subscribes to, at random."`
	ConnectRate float64       `default:"500" help:"Connections opened a second."`
	Duration    time.Duration `default:"20s" help:"How long to let it run."`
	Slow        float64       `default:"0.3" help:"Share of slow readers, 0 to 1: paused, throttled and stalled by turns."`
	ReadRate    int           `default:"20000" help:"Bytes a second that a throttled reader takes."`
	StormEvery  time.Duration `default:"5s" help:"So often --storm-share of the connections end and resume; 0 never."`
	StormShare  float64       `default:"0.3" help:"Share of the connections in a storm."`
	Settle      time.Duration `default:"15s" help:"How long healthy readers may take to reach what was newest at the end."`
	Seed        uint64        `default:"1" help:"For the choice of symbols."`
	Token       string        `help:"Bearer token to connect with." placeholder:"JWT"`
	Insecure    bool          `help:"wss: take any certificate, such as a self-signed one."`
	JSON        bool          `name:"json" help:"Print the result as JSON."`
}

// Validate reports what is wrong with the options.
func (v *verify) Validate() error {
	if v.Settle < 0 {
		return errors.Join(fmt.Errorf("--settle %s is below 0", v.Settle), v.asLoad().Validate())
	}
	return v.asLoad().Validate()
}

func (v *verify) asLoad() *load {
	return &load{
		URL: v.URL, Subscribers: v.Subscribers, Symbols: v.Symbols, ConnectRate: v.ConnectRate, Duration: v.Duration,
		Channels: []string{"trade"}, Pick: "uniform", Slow: v.Slow, SlowKind: []string{"paused", "throttled", "stalled"}, ReadRate: v.ReadRate,
		StormEvery: v.StormEvery, StormShare: v.StormShare, Seed: v.Seed, Token: v.Token, Insecure: v.Insecure,
	}
}

// verdict is what the books say.
type verdict struct {
	Subscribers int           `json:"subscribers"`
	Failed      int64         `json:"failed"`
	LastError   string        `json:"last_error,omitempty"`
	Resumed     int64         `json:"resumed"`
	Closes      map[int]int64 `json:"closes"`
	books.Sums
	Behind int      `json:"behind"` // streams that a healthy reader had not got to the end of
	Faults []string `json:"faults"` // the first of some subscribers
}

// faultsShown bounds what is told of many faults.
const faultsShown = 20

// Run verifies, and fails where a book does not balance.
func (v *verify) Run(ctx context.Context) error {
	r, err := v.audit(ctx)
	if err != nil {
		return err
	}
	if v.JSON {
		err = json.NewEncoder(os.Stdout).Encode(r)
	} else {
		r.print(os.Stdout)
	}
	if n := r.Sums.Faults() + int64(r.Behind); n > 0 {
		return errors.Join(err, fmt.Errorf("%d faults", n))
	}
	return err
}

func (v *verify) audit(ctx context.Context) (*verdict, error) {
	l := v.asLoad()
	if err := l.prepare(ctx); err != nil {
		return nil, err
	}
	u, err := url.Parse(v.URL)
	if err != nil {
		return nil, err
	}
	a := &auditor{books: make([]books.Book, v.Subscribers)}
	members := make([]fleet.Member, v.Subscribers)
	for i := range members {
		members[i] = l.plan.Member(i)
	}
	f, err := fleet.New(fleet.Config{
		URL: u, Dialect: a, Members: members, ConnectRate: v.ConnectRate, TLS: l.tls(), Header: l.header(),
		ReadRate: v.ReadRate, StormEvery: v.StormEvery, StormShare: v.StormShare, Again: true,
	})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Connect(ctx); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(v.Duration):
	}
	newest, err := v.newest(ctx, l)
	if err != nil {
		return nil, err
	}
	r := &verdict{Subscribers: v.Subscribers}
	r.Faults = a.settle(ctx, f, members, newest, v.Settle)
	r.Behind = len(r.Faults)
	r.Faults = r.Faults[:min(len(r.Faults), faultsShown)]
	seen := f.Take()
	r.Failed, r.LastError, r.Closes = seen.Failed, seen.LastError, seen.Closes
	f.Inside(func() { a.sum(r) })
	return r, ctx.Err()
}

// newest asks the node for the newest trade of every symbol.
func (v *verify) newest(ctx context.Context, l *load) (map[string]int64, error) {
	all := make(map[string]int64)
	const perRequest = 100
	for from := 0; from < len(l.plan.Names); from += perRequest {
		names := l.plan.Names[from:min(from+perRequest, len(l.plan.Names))]
		body, err := l.get(ctx, "/v1/snapshot?channels=trade&symbols="+url.QueryEscape(strings.Join(names, ",")))
		if err != nil {
			return nil, err
		}
		events, err := codec.DecodeBatch(codec.JSON, body)
		if err != nil {
			return nil, fmt.Errorf("/v1/snapshot: %w: %.200s", err, body)
		}
		for _, ev := range events {
			if s, ok := ev.(codec.Snapshot); ok {
				ev = s.Event
			}
			if t, ok := ev.(market.Trade); ok {
				all[t.Symbol] = t.Seq
			}
		}
	}
	return all, nil
}

// policies are what members ask for by turns. Conflation is for quotes and bars.
var policies = []string{"drop_oldest", "aggregate", "drop_newest", "disconnect", "conflate"}

// An auditor is the Dialect of subscribers with books. Members differ by their number.
type auditor struct {
	books []books.Book // each touched by the loop, and by the member's dialling while it is not connected

	mu      sync.Mutex
	resumed int64
}

// policy and encoding shift against each other, and against who is slow, so that every
// mixture comes.
func (a *auditor) policy(number int) string { return policies[(number+number/10)%len(policies)] }

func (a *auditor) encoding(number int) codec.Encoding { return codec.Encoding(number / 7 % 2) }

func (a *auditor) channels(number int) []market.Channel {
	if a.policy(number) == "conflate" {
		return []market.Channel{market.ChannelQuote, market.ChannelBar}
	}
	return []market.Channel{market.ChannelTrade}
}

// Subprotocol implements fleet.Dialect.
func (a *auditor) Subprotocol(number int) string { return a.encoding(number).Subprotocol() }

// Subscribe implements fleet.Dialect. A member that comes again names what it has.
func (a *auditor) Subscribe(number int, m *fleet.Member) (byte, []byte, error) {
	after := a.books[number].After()
	if after != nil {
		a.mu.Lock()
		a.resumed++
		a.mu.Unlock()
	}
	req, err := codec.AppendRequest(nil, codec.MsgPack, &codec.Request{
		Op: codec.OpSubscribe, Channels: a.channels(number), Symbols: m.Symbols, Policy: a.policy(number), After: after,
	})
	return wire.OpBinary, req, err
}

// Message implements fleet.Dialect.
func (a *auditor) Message(number int, t *wire.Tally, payload []byte) (oldest int64) {
	e := a.encoding(number)
	if e == codec.JSON {
		oldest = t.JSON(payload)
	} else {
		oldest = t.MsgPack(payload)
	}
	a.books[number].Message(e, payload)
	return oldest
}

// Closed implements fleet.Dialect.
func (a *auditor) Closed(int) {}

// settle waits until every healthy reader of trades has got to what was newest, and returns
// the streams that had not when the time was over.
func (a *auditor) settle(ctx context.Context, f *fleet.Fleet, members []fleet.Member, newest map[string]int64, within time.Duration) (behind []string) {
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(within); ; {
		f.Inside(func() { behind = a.behind(members, newest) })
		if len(behind) == 0 || time.Now().After(end) || ctx.Err() != nil {
			return behind
		}
		<-look.C
	}
}

func (a *auditor) behind(members []fleet.Member, newest map[string]int64) (behind []string) {
	for i, m := range members {
		if m.Pace != fleet.Healthy || a.channels(i)[0] != market.ChannelTrade {
			continue
		}
		for _, symbol := range m.Symbols {
			last := a.books[i].Last(market.Stream{Channel: market.ChannelTrade, Symbol: symbol})
			if last < newest[symbol] {
				behind = append(behind, fmt.Sprintf("%s: behind at the end: %s has come to %d of %d", a.name(i), symbol, last, newest[symbol]))
			}
		}
	}
	return behind
}

func (a *auditor) name(i int) string {
	return fmt.Sprintf("subscriber %d, %s, %s", i, a.policy(i), a.encoding(i))
}

// sum closes the books.
func (a *auditor) sum(r *verdict) {
	a.mu.Lock()
	r.Resumed = a.resumed
	a.mu.Unlock()
	for i := range a.books {
		b := &a.books[i]
		r.Sums.Add(&b.Sums)
		if why := b.Fault(); why != "" && len(r.Faults) < faultsShown {
			r.Faults = append(r.Faults, a.name(i)+": "+why)
		}
	}
}

func (r *verdict) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { _, _ = fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	row("subscribers", "%d, resumed %d times, %s", r.Subscribers, r.Resumed, failures(r.Failed, r.LastError))
	row("closed, by code", "%s", codes(r.Closes))
	row("trades", "%d delivered, %d in aggregates, %d in gaps", r.Trades, r.Aggregated, r.Missed)
	row("quotes and bars", "%d", r.Others)
	row("unaccounted", "%d", r.Holes)
	row("doubled", "%d", r.Doubled)
	row("went back", "%d", r.Fallen)
	row("wrong", "%d", r.Wrong)
	row("behind at the end", "%d", r.Behind)
	for _, f := range r.Faults {
		row("fault", "%s", f)
	}
	_ = w.Flush()
}
