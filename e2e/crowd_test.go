package e2e_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A crowd is the strangers that come at a node, from a process of their own.
type crowd struct {
	Addr    string
	Secure  bool
	Kind    string        // a pattern of the kinds that come; all of them if empty
	PerKind int           // of each, at the same time
	From    int           // so many addresses; 0 = one for each
	For     time.Duration // until then another comes for each that the node has ended; 0 = each comes once
}

// crowdVariable has a crowd in the environment of its process, as JSON.
const crowdVariable = "CROWD"

// A fate is how visits ended, and how long the longest of them was.
type fate struct {
	Count int
	Worst time.Duration
}

// Fates are by kind of stranger, and by what the node said in the end.
type fates map[string]map[string]fate

// A stranger does what he does to one connection.
type stranger struct {
	kind  string
	plain bool // over TCP alone, whatever the node serves
	stays bool // until all are gone whom the node is sure to end: nothing that he does is forbidden, or he is too slow to be a flood
	act   func(v *visit, nth int)
}

// A visit is a stranger's connection.
type visit struct {
	net.Conn
	end string // how it ended, as far as the node has said so
}

// What a visit comes to that ends without an HTTP status or a close code.
const (
	turnedAway = "not let in"
	tornOff    = "torn off"
	closedMute = "closed"
	leftAlone  = "left alone" // the stranger went
)

// come has the crowd come, and go on patience after its time at the latest. What it returns is
// whole: nobody is there any more.
func (c *crowd) come() fates {
	var mu sync.Mutex
	all := make(fates)
	note := func(kind, end string, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		if all[kind] == nil {
			all[kind] = make(map[string]fate)
		}
		f := all[kind][end]
		all[kind][end] = fate{f.Count + 1, max(f.Worst, took)}
	}
	wanted := regexp.MustCompile(c.Kind)
	until := time.Now().Add(c.For)
	over, leave := context.WithTimeout(context.Background(), c.For+patience)
	defer leave()
	var ended, everybody sync.WaitGroup
	for k, who := range strangers() {
		if !wanted.MatchString(who.kind) {
			continue
		}
		for nth := range c.PerKind {
			visits := func() {
				for again := true; again; again = time.Now().Before(until) && over.Err() == nil {
					began := time.Now()
					end := c.visit(over, who, k, nth)
					note(who.kind, end, time.Since(began))
				}
			}
			if who.stays {
				everybody.Go(visits)
			} else {
				ended.Go(visits)
			}
		}
	}
	ended.Wait()
	select {
	case <-time.After(time.Until(until)):
	case <-over.Done():
	}
	leave()
	everybody.Wait()
	return all
}

// visit is one connection of a stranger.
func (c *crowd) visit(over context.Context, who stranger, k, nth int) (end string) {
	home := nth
	if c.From > 0 {
		home %= c.From
	}
	from := &net.TCPAddr{IP: net.IPv4(127, byte(1+k), byte(home>>7), byte(1+home&0x7f))}
	tcp, err := (&net.Dialer{LocalAddr: from, Timeout: patience}).DialContext(over, "tcp", c.Addr)
	if err != nil {
		return turnedAway
	}
	v := &visit{Conn: tcp}
	defer func() { _ = v.Close() }()
	defer context.AfterFunc(over, func() { _ = tcp.Close() })()
	if c.Secure && !who.plain {
		v.Conn = tls.Client(tcp, &tls.Config{InsecureSkipVerify: true})
	}
	who.act(v, nth)
	switch {
	case v.end == "" || over.Err() != nil && (v.end == tornOff || v.end == closedMute):
		return leftAlone
	default:
		return v.end
	}
}

// says sends it all, reads nothing while it does, and then whatever comes.
func (v *visit) says(what ...string) {
	for _, w := range what {
		if _, err := io.WriteString(v.Conn, w); err != nil {
			break
		}
	}
	v.hears()
}

// hears reads until the end, and notes what that is.
func (v *visit) hears() {
	from := bufio.NewReader(v.Conn)
	var err error
	for err == nil {
		var resp *http.Response
		if resp, err = http.ReadResponse(from, nil); err != nil {
			break
		}
		v.end = strconv.Itoa(resp.StatusCode)
		if resp.StatusCode == http.StatusSwitchingProtocols {
			v.end = ""
			for err == nil {
				err = v.hearsFrame(from)
			}
			break
		}
		_, err = io.Copy(io.Discard, resp.Body)
	}
	switch {
	case v.end != "":
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		v.end = tornOff
	default:
		v.end = closedMute
	}
}

func (v *visit) hearsFrame(from *bufio.Reader) error {
	var head [10]byte
	if _, err := io.ReadFull(from, head[:2]); err != nil {
		return err
	}
	length := int64(head[1] & 0x7f)
	if more := map[int64]int{126: 2, 127: 8}[length]; more > 0 {
		if _, err := io.ReadFull(from, head[10-more:]); err != nil {
			return err
		}
		clear(head[2 : 10-more])
		length = int64(binary.BigEndian.Uint64(head[2:]))
	}
	if head[0]&0xf != 8 || length < 2 {
		_, err := io.CopyN(io.Discard, from, length)
		return err
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(from, body); err != nil {
		return err
	}
	v.end = "close " + strconv.Itoa(int(binary.BigEndian.Uint16(body)))
	_, err := io.Copy(io.Discard, from)
	return errors.Join(err, io.EOF)
}

// beCrowd is the whole of a crowd's process.
func beCrowd(text string) {
	var c crowd
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(c.come()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
