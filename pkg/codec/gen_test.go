package codec

import (
	"math"
	"time"
	"unicode/utf8"

	"github.com/tickcast/tickcast/pkg/market"
	"pgregory.net/rapid"
)

// What rapid draws: every value that the protocol allows, the odd ones often.

var (
	genSymbol = rapid.OneOf(
		rapid.SampledFrom([]string{"AAPL", "BRK.B", "BTC/USD", "a b*", "*x", "日経225", "\"q\\", "\u2028", "x"}),
		rapid.StringN(1, 16, market.SymbolBytesMax),
	).Filter(func(s string) bool { return market.CheckSymbol(s) == nil })
	genText  = rapid.String().Filter(utf8.ValidString)
	genFloat = rapid.OneOf(
		rapid.Float64(),
		rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 100, 0.1, 1e-9, 1e21, 1e300, 5e-324, math.MaxFloat64, 123456789.125}),
	).Filter(finite)
	genSeq     = rapid.OneOf(rapid.Int64Range(1, 1000), rapid.Int64Range(1, math.MaxInt64))
	genInt     = rapid.OneOf(rapid.Int64Range(-200, 70_000), rapid.Int64())
	genID      = rapid.Ptr(genInt, true)
	genChannel = rapid.SampledFrom(market.AllChannels())
	genMillis  = rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "ms")) * time.Millisecond
	})
	genStream = rapid.Custom(func(t *rapid.T) market.Stream {
		return market.Stream{Channel: genChannel.Draw(t, "channel"), Symbol: genSymbol.Draw(t, "symbol")}
	})
)

func genTick(symbol string) *rapid.Generator[Event] {
	return rapid.Custom(func(t *rapid.T) Event {
		f := func(name string) float64 { return genFloat.Draw(t, name) }
		i := func(name string) int64 { return genInt.Draw(t, name) }
		seq := genSeq.Draw(t, "seq")
		switch genChannel.Draw(t, "channel") {
		case market.ChannelTrade:
			return market.Trade{Symbol: symbol, Seq: seq, Time: i("time"), Price: f("price"), Size: f("size"),
				Side: market.Side(rapid.IntRange(0, 2).Draw(t, "side")),
				ID:   rapid.StringN(0, 32, MaxTradeIDBytes).Draw(t, "trade id")}
		case market.ChannelQuote:
			return market.Quote{Symbol: symbol, Seq: seq, Time: i("time"),
				BidPrice: f("bid"), BidSize: f("bid size"), AskPrice: f("ask"), AskSize: f("ask size")}
		}
		return market.Bar{Symbol: symbol, Seq: seq, Start: i("start"), Interval: i("interval"), Open: f("open"),
			High: f("high"), Low: f("low"), Close: f("close"), Volume: f("volume"), Trades: i("trades"),
			Closed: rapid.Bool().Draw(t, "closed")}
	})
}

var genEvent = rapid.Custom(func(t *rapid.T) Event {
	i := func(name string) int64 { return genInt.Draw(t, name) }
	id := genID.Draw(t, "id")
	s := genStream.Draw(t, "stream")
	from := genSeq.Draw(t, "from")
	to := rapid.Int64Range(from, math.MaxInt64).Draw(t, "to")
	switch rapid.IntRange(0, 10).Draw(t, "kind") {
	case 0:
		return Hello{Session: genText.Draw(t, "session"), Node: genText.Draw(t, "node"), Heartbeat: genMillis.Draw(t, "hb"),
			MaxSymbols: int(i("max")), Auth: "none"}
	case 1:
		return Ack{ID: id}
	case 2:
		symbols := rapid.SliceOfN(genText, 0, 5).Draw(t, "symbols")
		return Ack{ID: id, Channels: rapid.SliceOfN(genChannel, 0, 3).Draw(t, "channels"),
			Symbols: symbols, SymbolsTotal: len(symbols),
			Rejected: rapid.MapOfN(genText, rapid.Just(CodeUnknownSymbol), 0, 5).Draw(t, "rejected")}
	case 3:
		return Error{ID: id, Code: CodeBadRequest, Message: genText.Draw(t, "message")}
	case 4:
		return Pong{ID: id, Time: i("time")}
	case 5:
		return market.Aggregate{Symbol: s.Symbol, FromSeq: from, ToSeq: to, FirstTime: i("first"), LastTime: i("last"),
			Open: genFloat.Draw(t, "open"), High: genFloat.Draw(t, "high"), Low: genFloat.Draw(t, "low"),
			Close: genFloat.Draw(t, "close"), Volume: genFloat.Draw(t, "volume"), Count: i("count")}
	case 6:
		if rapid.Bool().Draw(t, "none yet") {
			return Snapshot{Stream: s}
		}
		tick := genTick(s.Symbol).Draw(t, "last")
		switch tick.(type) {
		case market.Trade:
			s.Channel = market.ChannelTrade
		case market.Quote:
			s.Channel = market.ChannelQuote
		case market.Bar:
			s.Channel = market.ChannelBar
		}
		return Snapshot{Stream: s, Event: tick}
	case 7:
		return Gap{Stream: s, From: from, To: to, Reason: ReasonSlow}
	case 8:
		return Stat{PendingBytes: i("a"), QueueAgeMS: i("b"), Conflated: i("c"), Dropped: i("d"), Aggregated: i("e"),
			Sent: i("f"), Slow: rapid.Bool().Draw(t, "slow"),
			Hops: Hops{genHop.Draw(t, "venue"), genHop.Draw(t, "feed"), genHop.Draw(t, "nats"), genHop.Draw(t, "node")}}
	case 9:
		return Bye{Code: int(CodeSlowConsumer), Reason: genText.Draw(t, "reason"), RetryAfter: genMillis.Draw(t, "retry")}
	}
	return genTick(s.Symbol).Draw(t, "tick")
})

var genHop = rapid.Ptr(rapid.Custom(func(t *rapid.T) Hop {
	us := rapid.Int64Range(-1e14, 1e14)
	return Hop{time.Duration(us.Draw(t, "median")) * time.Microsecond, time.Duration(us.Draw(t, "p99")) * time.Microsecond}
}), true)

var genRequest = rapid.Custom(func(t *rapid.T) Request {
	q := Request{ID: genID.Draw(t, "id")}
	q.Op = rapid.SampledFrom([]Op{OpAuth, OpSubscribe, OpUnsubscribe, OpStats, OpPing}).Draw(t, "op")
	switch q.Op {
	case OpAuth:
		q.Token = genText.Draw(t, "token")
	case OpStats:
		q.EveryMS = rapid.Int64Range(0, math.MaxInt64).Draw(t, "every")
	case OpSubscribe, OpUnsubscribe:
		q.Channels = rapid.SliceOfNDistinct(genChannel, 1, 3, rapid.ID).Draw(t, "channels")
		legalHere := genText.Filter(func(s string) bool { return s != market.Wildcard })
		q.Symbols = rapid.SliceOfNDistinct(legalHere, 1, 8, rapid.ID).Draw(t, "symbols")
		if rapid.Bool().Draw(t, "all") {
			q.Symbols = []string{market.Wildcard}
		}
	}
	if q.Op == OpSubscribe {
		q.NoSnapshot = rapid.Bool().Draw(t, "no snapshot")
		q.IntervalMS = rapid.Ptr(rapid.Int64Range(0, 60_000), true).Draw(t, "interval")
		q.Policy = rapid.SampledFrom(append([]string{""}, policyNames...)).Draw(t, "policy")
		if after := rapid.MapOfN(genStream, rapid.Int64Range(0, math.MaxInt64), 0, 5).Draw(t, "after"); len(after) > 0 {
			q.After = after
		}
	}
	return q
})
