//go:build !linux

package bus

import "time"

// An alarm lets one goroutine sleep.
type alarm struct{}

func newAlarm() (*alarm, error) { return new(alarm), nil }

func (a *alarm) sleep(d time.Duration) { time.Sleep(d) }

func (a *alarm) close() {}
