// Package sim makes up a market: quotes and trades of many instruments, whose prices walk,
// whose spreads stay positive and of which a few get most of the activity.
//
// What happens depends on the seed, the symbols and the rate alone. The wall clock says only
// when: a tick's time is the moment at which it was emitted.
package sim
