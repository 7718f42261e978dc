// Package feed turns a source of market data into numbered streams on a bus.
//
// A [Source] (a simulator, a recording, a venue) emits trades and quotes without numbers. A
// [Feed] builds one-minute bars from the trades, gives every tick the next seq of its
// stream, encodes it once, in the form that subscribers get, and publishes each stream's
// waiting ticks together as one message. It owns the numbers: they rise by exactly one, and
// never go back, not even over a restart, because a Feed starts after what the bus remembers.
//
// A live source cannot wait: what it emits while the bus is away is numbered and lost, and
// subscribers see the gap. Any other source is made to wait, and loses nothing.
//
// Times are Unix nanoseconds; prices and sizes are in the instrument's own quoted units.
package feed
