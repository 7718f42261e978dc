package stream

import "container/heap"

// timers is a heap of sessions by the time at which each wants to be looked at. A session
// has one entry, so that an idle one costs a heap step per heartbeat and nothing else.
type timers []*session

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].due < t[j].due }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].timerAt, t[j].timerAt = int32(i), int32(j)
}

// Push and Pop are heap.Interface's.
func (t *timers) Push(x any) {
	s := x.(*session)
	s.timerAt = int32(len(*t))
	*t = append(*t, s)
}

func (t *timers) Pop() any {
	old := *t
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	s.timerAt = -1
	return s
}

// next is the earliest due time, 0 if there is none.
func (t timers) next() int64 {
	if len(t) == 0 {
		return 0
	}
	return t[0].due
}

// at sets the time of the session's next look.
func (t *timers) at(s *session, due int64) {
	if s.timerAt < 0 {
		s.due = due
		heap.Push(t, s)
		return
	}
	s.due = due
	heap.Fix(t, int(s.timerAt))
}

// sooner moves the session's next look forward if due is earlier.
func (t *timers) sooner(s *session, due int64) {
	if s.timerAt < 0 || due < s.due {
		t.at(s, due)
	}
}

func (t *timers) remove(s *session) {
	if s.timerAt >= 0 {
		heap.Remove(t, int(s.timerAt))
	}
}

// looksMax bounds a turn where the time of thousands has come at once, such as of a crowd that has
// not authenticated. A look takes some 10 µs where it is a session's last.
const looksMax = 200

// fireTimers looks at the sessions whose time has come; at the rest in the next turn, which is at once.
func (sh *shard) fireTimers() {
	for n := 0; n < looksMax && len(sh.timers) > 0 && sh.timers[0].due <= sh.now; n++ {
		s := sh.timers[0]
		sh.timers.at(s, s.look())
	}
}
