//go:build !linux

package eventloop

import (
	"syscall"
	"time"
)

func vanishAfter(syscall.RawConn, time.Duration) error { return nil }
