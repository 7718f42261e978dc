// Package fleet is a load generator's subscribers: thousands of WebSocket connections that
// are opened at a pace, and read by one epoll loop into one buffer, so that a generator on
// one core keeps up with a server on another. It runs on Linux.
//
// A [Fleet] is one process's share: more than one loop, or more connections than the system
// allows descriptors, are more processes. Latencies are microseconds from an event's own
// time to its receipt; that needs one clock, so feed and fleet on one machine.
package fleet
