package eventloop

// A queue holds each connection of a loop once at the most.
type queue struct {
	all  []*Conn
	gone int // of all
}

func (q *queue) len() int    { return len(q.all) - q.gone }
func (q *queue) empty() bool { return q.gone == len(q.all) }

func (q *queue) push(c *Conn) { q.all = append(q.all, c) }

// pop moves what is left to the front when half has gone, so that a queue that never becomes
// empty does not grow.
func (q *queue) pop() *Conn {
	c := q.all[q.gone]
	q.all[q.gone] = nil
	if q.gone++; q.gone*2 >= len(q.all) {
		n := copy(q.all, q.all[q.gone:])
		clear(q.all[n:])
		q.all, q.gone = q.all[:n], 0
	}
	return c
}
