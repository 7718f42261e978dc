package eventloop

import "math/bits"

// A backlog is what the kernel did not take from one connection: whole frames, but for the
// beginning of the first, which has gone.
type backlog struct {
	buf  []byte
	sent int    // of buf
	own  int    // bytes that crypto/tls sent by itself since there is a backlog
	pong []byte // answers the last ping; sent when buf is empty, so that pings cannot pile up
}

func (b *backlog) waiting() int { return len(b.buf) - b.sent }

// backlogs lends backlogs and their buffers to the connections of a loop. Buffers come in
// powers of two from 1 KiB to 1 MiB; larger ones are left to the garbage collector.
type backlogs struct {
	structs []*backlog
	free    [classes][][]byte
}

const (
	classBitsMin = 10
	classes      = 11
	// keptPerClass bounds the memory that stays after a storm: at most 32 MiB a loop.
	keptPerClass = 16
)

// take returns a backlog that holds a copy of p.
func (p *backlogs) take(data []byte) *backlog {
	b := new(backlog)
	if n := len(p.structs); n > 0 {
		b = p.structs[n-1]
		p.structs = p.structs[:n-1]
	}
	b.buf = append(p.buffer(len(data)), data...)
	return b
}

// add copies data behind what waits in b.
func (p *backlogs) add(b *backlog, data []byte) {
	if need := b.waiting() + len(data); len(b.buf)+len(data) > cap(b.buf) {
		old, buf := b.buf, b.buf[:0]
		if need > cap(old) {
			buf = p.buffer(max(need, 2*cap(old)))
		}
		b.buf, b.sent = append(buf, old[b.sent:]...), 0
		if need > cap(old) {
			p.giveBuffer(old)
		}
	}
	b.buf = append(b.buf, data...)
}

// give takes b back.
func (p *backlogs) give(b *backlog) {
	p.giveBuffer(b.buf)
	*b = backlog{pong: b.pong[:0]}
	if len(p.structs) < keptPerClass {
		p.structs = append(p.structs, b)
	}
}

func (p *backlogs) buffer(n int) []byte {
	class := max(0, bits.Len(uint(n-1))-classBitsMin)
	if class >= classes {
		return make([]byte, 0, n)
	}
	if last := len(p.free[class]) - 1; last >= 0 {
		buf := p.free[class][last]
		p.free[class] = p.free[class][:last]
		return buf
	}
	return make([]byte, 0, 1<<(class+classBitsMin))
}

func (p *backlogs) giveBuffer(buf []byte) {
	class := bits.Len(uint(cap(buf))) - 1 - classBitsMin
	if class < classes && 1<<(class+classBitsMin) == cap(buf) && len(p.free[class]) < keptPerClass {
		p.free[class] = append(p.free[class], buf[:0])
	}
}
