// Package client is tickcast's SDK for Go: it connects to a node, subscribes, and yields
// typed events for as long as the program wants them, over as many connections as it takes.
//
//	c, err := client.Dial(ctx, "ws://localhost:8080/v1/stream")
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	err = c.Subscribe(ctx, client.Subscription{
//		Channels: []client.Channel{client.ChannelTrade, client.ChannelQuote},
//		Symbols:  []string{"AAPL", "BTC/USD"},
//	})
//	if err != nil {
//		return err
//	}
//	for ev, err := range c.Events(ctx) {
//		if err != nil {
//			return err // ctx ended, Close was called, or the client gave up
//		}
//		switch ev := ev.(type) {
//		case client.Snapshot: // where the stream stood when it was subscribed
//		case client.Trade:
//			fmt.Println(ev.Symbol, ev.Price, ev.Size)
//		case client.Quote:
//		case client.Gap: // ev.From to ev.To of ev.Stream do not come
//		}
//	}
//
// # Order
//
// The seqs of a stream (one channel of one symbol) only rise, across reconnects too: what
// comes again after one is dropped. A trade stream is complete: from its [Snapshot] on, its
// [Trade] events and the ranges of its [Gap] and [Aggregate] events are exactly the seqs
// published, each once. Quotes and bars may jump: what comes is the latest. Between streams
// there is no order.
//
// # When the link breaks
//
// The client connects again by itself, with a random pause that grows, and never sooner than
// the node asked for when it said goodbye. Every stream goes on behind the last event that
// the client has; what no node remembers comes as a Gap with reason [ReasonHistory]. A
// stream has one Snapshot per subscription, not one per connection. A link on which nothing
// comes for twice the node's heartbeat counts as broken. [WithStateFunc] tells of all this.
//
// # When the program is slow
//
// Events that the program has not taken wait in a backlog ([WithBacklog]). When it is full
// the client reads no more from the socket, and the node applies the policy of each
// subscription: it drops, melts or conflates, and says so in events; in the end it closes the
// connection ([ErrSlowConsumer]), and the client connects again. Nothing is dropped here.
//
// Times are Unix nanoseconds of the venue's clock, prices and sizes in the instrument's own
// quoted units. All methods may be called from any goroutine.
package client
