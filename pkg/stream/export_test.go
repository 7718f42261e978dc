package stream

import "sync"

// Stall keeps every shard from going on until release is called.
func (n *Node) Stall() (release func()) {
	going := make(chan struct{})
	for _, sh := range n.shards {
		sh.do(func() { <-going })
	}
	return sync.OnceFunc(func() { close(going) })
}
