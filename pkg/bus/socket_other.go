//go:build !linux

package bus

import (
	"net"
	"time"
)

// A socket is a connection beside which its reader may sleep.
type socket struct{ net.Conn }

func newSocket(conn *net.TCPConn) (*socket, error) { return &socket{conn}, nil }

func (s *socket) sleep(d time.Duration) { time.Sleep(d) }
