//go:build !linux

package stream

import (
	"net"

	"github.com/tickcast/tickcast/pkg/eventloop"
)

// Engines lists what Config.Engine may be on this system, the best first.
func Engines() []string { return []string{EngineGoroutine} }

func newEngine(cfg *Config, shards []*shard) (engine, error) { return newGWSEngine(cfg, shards), nil }

// kernelViewOf is empty: what the kernel tells differs from system to system.
func kernelViewOf(net.Conn) kernelView { return kernelView{} }

// Early returns the listener that an http.Server is to serve instead of ln.
func (n *Node) Early(ln *eventloop.Listener) (net.Listener, error) { return ln, nil }
