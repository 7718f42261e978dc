package eventloop

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fewEnv makes TestMain's process the server of TestListenerWaitsForADescriptor; its value says
// whose accept it tries.
const fewEnv = "EVENTLOOP_FEW_DESCRIPTORS"

const fewDescriptors = 80

// serveFew has fewDescriptors, accepts for ever, and answers an e by an e, an o by an o if it
// can open a file then, a g by a g when it has taken every descriptor that is left, and an r by
// an r when it has given them back. It prints its address, and a line for each call of Full.
func serveFew(how string) {
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: fewDescriptors, Max: fewDescriptors}); err != nil {
		log.Fatal(err)
	}
	var ln net.Listener
	own, err := Listen("127.0.0.1:0", ListenConfig{Full: func(err error) { fmt.Println("full:", err) }})
	if ln = own; err == nil && how == "early" {
		ln, err = own.Early(Config{}, func(int, netip.AddrPort, netip.AddrPort, []byte) bool { return false })
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ln.Addr())
	var grabbed []int
	for {
		c, err := ln.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer c.Close()
			for ask := make([]byte, 1); ; {
				if _, err := c.Read(ask); err != nil {
					return
				}
				switch ask[0] {
				case 'o':
					f, err := os.Open("/dev/null")
					if err != nil {
						ask[0] = 'x'
					}
					_ = f.Close()
				case 'g':
					for {
						fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
						if err != nil {
							break
						}
						grabbed = append(grabbed, fd)
					}
				case 'r':
					for _, fd := range grabbed {
						_ = unix.Close(fd)
					}
				}
				if _, err := c.Write(ask); err != nil {
					return
				}
			}
		}()
	}
}

// A fewServer is a process that runs serveFew.
type fewServer struct {
	addr  string
	began time.Time
	mu    sync.Mutex
	told  map[string]int // how often Full was called with what
}

func startFew(t *testing.T, how string) *fewServer {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fewEnv+"="+how)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the server does not start")
	}
	f := &fewServer{addr: lines.Text(), began: time.Now(), told: make(map[string]int)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines.Scan() {
			f.mu.Lock()
			f.told[strings.TrimPrefix(lines.Text(), "full: ")]++
			f.mu.Unlock()
		}
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-read; _ = cmd.Wait() })
	return f
}

func (f *fewServer) toldOf(why string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for said, times := range f.told {
		if strings.Contains(said, why) {
			n += times
		}
	}
	return n
}

// When descriptors run out, those who are in are served on, the process keeps some for itself,
// and who waits gets in as soon as others go. That holds for both ways to accept, and where
// others of the process have taken the reserve too.
func TestListenerWaitsForADescriptor(t *testing.T) {
	for _, how := range []string{"net", "early"} {
		t.Run(how, func(t *testing.T) {
			f := startFew(t, how)
			ask := func(c net.Conn, what byte) {
				t.Helper()
				if _, err := c.Write([]byte{what}); err != nil {
					t.Fatal(err)
				}
			}
			answered := func(c net.Conn, what byte) {
				t.Helper()
				answer := make([]byte, 1)
				if _, err := io.ReadFull(c, answer); err != nil || answer[0] != what {
					t.Fatalf("asked %q, got %q, %v", what, answer, err)
				}
			}
			conns := make([]*net.TCPConn, 2*fewDescriptors)
			for i := range conns {
				conns[i] = dialTCP(t, f.addr)
				ask(conns[i], 'e') // the kernel keeps who says nothing
			}
			first := conns[0]
			answered(first, 'e')
			until(t, "the server says that it is full", func() bool { return f.toldOf(errReserve.Error()) > 0 })
			ask(first, 'e')
			answered(first, 'e')
			ask(first, 'o')
			answered(first, 'o')
			for _, c := range conns[1:] { // each that goes lets one more in
				answered(c, 'e')
				_ = c.CloseWrite()
				if _, err := io.ReadAll(c); err != nil { // until the server has closed it
					t.Error(err)
				}
			}
			ask(first, 'o')
			answered(first, 'o')

			before := f.toldOf("")
			ask(first, 'g')
			answered(first, 'g')
			waiting := dialTCP(t, f.addr)
			ask(waiting, 'e')
			until(t, "the server says that there is none at all", func() bool { return f.toldOf("") > before })
			ask(first, 'e')
			answered(first, 'e')
			ask(first, 'r')
			answered(first, 'r')
			answered(waiting, 'e')
			if most := int(time.Since(f.began)/time.Second) + 1; f.toldOf("") > most {
				t.Errorf("told %d times in %s", f.toldOf(""), time.Since(f.began))
			}
		})
	}
}
