package contest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tickcast/tickcast/bench/internal/host"
)

// A Server is one of those that are compared.
type Server struct {
	Name string
	What string // for the reader of the result
	// Program is run with Args and the cell's own options, and prints a line "ready" with
	// addr=host:port.
	Program string
	Args    func(c Cell, o Outside) []string
	Load    []string // options of the load, beside the cell's
	Symbols string   // path of its list of symbols; "" where it knows them from the start
}

// Outside is what a server is given beside its work.
type Outside struct {
	NATS      string // URL of what the source publishes to
	Cert, Key string // files, for cells with TLS
}

// A Cell is one kind of work: each of so many subscribers gets a message once a window, with
// so many trades in it.
type Cell struct {
	Subscribers int `json:"subscribers"`
	Ticks       int `json:"ticks_per_message"`
	// FramesPerSecond over all subscribers sets the window: the load of a cell is the same
	// for few subscribers and for many.
	FramesPerSecond int `json:"messages_per_second"`
	// PerMember is how many of the Market's symbols each has; 0 means 10 of 100.
	PerMember int `json:"symbols,omitempty"`
	Market    int `json:"market,omitempty"`
	// TLS is for tickcast alone: the others serve none here.
	TLS bool `json:"tls,omitempty"`
	// Random has symbols trade by chance and subscribers choose theirs by chance, so that
	// messages differ in size. Otherwise symbols trade by turns.
	Random bool `json:"random,omitempty"`
}

// Each is how many symbols a subscriber has.
func (c Cell) Each() int {
	if c.PerMember == 0 {
		return 10
	}
	return c.PerMember
}

// All is how many symbols there are.
func (c Cell) All() int {
	if c.Market == 0 {
		return 100
	}
	return c.Market
}

// Window is how long trades are gathered.
func (c Cell) Window() time.Duration {
	return time.Duration(float64(c.Subscribers) / float64(c.FramesPerSecond) * float64(time.Second))
}

// Rate is how many trades happen a second, over all symbols.
func (c Cell) Rate() float64 {
	return float64(c.Ticks) * float64(c.All()) / float64(c.Each()) / c.Window().Seconds()
}

// Work returns the cell as options of the floor and of the source, which make trades.
func (c Cell) Work() []string {
	return []string{"--market", strconv.Itoa(c.All()), "--rate", fmt.Sprint(c.Rate()), "--window", c.Window().String()}
}

func (c Cell) String() string {
	s := fmt.Sprintf("%d subscribers of %d of %d symbols, %d ticks a message", c.Subscribers, c.Each(), c.All(), c.Ticks)
	if c.TLS {
		s += ", TLS"
	}
	return s
}

// A Contest is what is run: every server in every cell, Repeats times in turn.
type Contest struct {
	Self      string // this program
	Dir       string // for certificates; the caller removes it
	Servers   []Server
	Cells     []Cell
	Repeats   int
	Tries     int // at each repeat, while others disturb it
	Warmup    time.Duration
	Duration  time.Duration
	ServerOn  []int // cores
	OthersOn  []int
	Nap       time.Duration
	Connect   float64 // connections a second
	Announced func(format string, args ...any)
}

// A Run is one server in one cell, once.
type Run struct {
	Messages      int64   `json:"messages"`
	Ticks         int64   `json:"ticks"`
	Seconds       float64 `json:"seconds"`
	Ready         int     `json:"ready"`
	Open          int     `json:"open"`
	Failed        int64   `json:"failed"`
	Gaps          int64   `json:"gaps"`
	Missed        int64   `json:"missed"`
	Malformed     int64   `json:"malformed"`
	ServerCPU     float64 `json:"server_cpu_seconds"`
	ServerWaited  float64 `json:"server_waited_seconds"` // for its core
	LoadCPU       float64 `json:"load_cpu_seconds"`
	RSSPerConn    float64 `json:"rss_bytes_per_connection"`
	RSS           float64 `json:"rss_bytes"`
	LatencyP99US  int64   `json:"latency_p99_us"`
	ConnectSecond float64 `json:"connect_seconds"`
	WarmupSecond  float64 `json:"warmup_seconds"`
	WireBytes     int64   `json:"wire_bytes"`

	// Latency is pairs of a percentile and µs. The row has the medians.
	Latency [][2]float64 `json:"-"`
}

// Rows are the runs of one server in one cell.
type Rows struct {
	Cell   Cell
	Server string
	Runs   []Run
}

// Run does it all. What was measured before an error is returned with it.
func (c *Contest) Run(ctx context.Context) (all []Rows, err error) {
	for _, cell := range c.Cells {
		rows := make([]Rows, len(c.Servers))
		for i, s := range c.Servers {
			rows[i] = Rows{Cell: cell, Server: s.Name}
		}
		all = append(all, rows...)
		rows = all[len(all)-len(rows):]
		if err := c.cell(ctx, cell, rows); err != nil {
			return all, fmt.Errorf("%s: %w", cell, err)
		}
	}
	return all, nil
}

func (c *Contest) cell(ctx context.Context, cell Cell, rows []Rows) error {
	args := append([]string{"source"}, cell.Work()...)
	if cell.Random {
		args = append(args, "--random")
	}
	var out Outside
	var err error
	if cell.TLS {
		if out.Cert, out.Key, err = SelfSigned(c.Dir); err != nil {
			return err
		}
	}
	source, err := host.Start(c.OthersOn, c.Self, args...)
	if err != nil {
		return err
	}
	defer source.Stop()
	pairs, err := source.Ready(ctx)
	if err != nil {
		return err
	}
	out.NATS = pairs["nats"]
	for n := range c.Repeats {
		for k := range c.Servers {
			i := (n + k) % len(c.Servers) // nobody always follows the same one
			run, err := c.calmly(ctx, cell, &c.Servers[i], out)
			if err != nil {
				return fmt.Errorf("%s: %w", c.Servers[i].Name, err)
			}
			rows[i].Runs = append(rows[i].Runs, run)
			c.Announced("%s  repeat %d  %-20s %6.2f us/message  %6.1f ns/tick  %5.1f ticks/message  server %3.0f %%, waited %2.0f %%  load %3.0f %%\n",
				cell, n+1, c.Servers[i].Name, run.PerMessage(), run.PerTick(), run.TicksPerMessage(),
				100*run.ServerCPU/run.Seconds, 100*run.Waited(), 100*run.LoadCPU/run.Seconds)
		}
	}
	return nil
}

// A run is disturbed when others had the server's core for so large a share of the time: its
// windows stretch then, and it does less work than it was given.
const disturbed = 0.1

// unserved is how often a server may send nothing at all while it is measured.
const unserved = 3

// calmly measures one server until it had its core for itself, but no more than Tries times,
// and returns the calmest run.
func (c *Contest) calmly(ctx context.Context, cell Cell, s *Server, o Outside) (best Run, err error) {
	for n, nothing := 0, 0; n < c.Tries; {
		run, err := c.one(ctx, cell, s, o)
		if errors.Is(err, errNothing) && nothing < unserved-1 {
			nothing++
			continue
		}
		if err != nil {
			return Run{}, err
		}
		if n == 0 || run.Waited() < best.Waited() {
			best = run
		}
		if n++; best.Waited() <= disturbed {
			break
		}
	}
	return best, nil
}

// one measures one server, which is started for it.
func (c *Contest) one(ctx context.Context, cell Cell, s *Server, o Outside) (Run, error) {
	server, err := host.Start(c.ServerOn, s.Program, s.Args(cell, o)...)
	if err != nil {
		return Run{}, err
	}
	defer server.Kill()
	pairs, err := server.Ready(ctx)
	if err != nil {
		return Run{}, err
	}
	page, stream := "http://", "ws://"
	if cell.TLS {
		page, stream = "https://", "wss://"
	}
	if s.Symbols != "" {
		if err := known(ctx, page+pairs["addr"]+s.Symbols, cell.All()); err != nil {
			return Run{}, err
		}
	}
	pick := "even"
	if cell.Random {
		pick = "uniform"
	}
	out, err := host.Output(ctx, c.OthersOn, c.Self, append([]string{"load", "--json",
		"--url", stream + pairs["addr"] + "/v1/stream", "--insecure", "--pid", strconv.Itoa(server.PID()),
		"--market", strconv.Itoa(cell.All()), "--symbols", strconv.Itoa(cell.Each()), "--pick", pick,
		"--subscribers", strconv.Itoa(cell.Subscribers), "--connect-rate", fmt.Sprint(c.Connect),
		"--warmup", c.Warmup.String(), "--duration", c.Duration.String(), "--nap", c.Nap.String(),
	}, s.Load...)...)
	if err != nil {
		return Run{}, err
	}
	return parseRun(out)
}

var errNothing = errors.New("no message came")

func parseRun(out []byte) (Run, error) {
	var l struct {
		Run
		OwnCPU  float64            `json:"own_cpu_seconds"`
		Spread  [][2]float64       `json:"latency_distribution_us"`
		Latency map[string]int64   `json:"latency_us"`
		Server  map[string]float64 `json:"server"`
	}
	if err := json.Unmarshal(out, &l); err != nil {
		return Run{}, fmt.Errorf("the load's result: %w", err)
	}
	r := l.Run
	r.LoadCPU, r.LatencyP99US = l.OwnCPU, l.Latency["p99"]
	r.ServerWaited = l.Server["waited_seconds"]
	r.ServerCPU, r.RSSPerConn = l.Server["cpu_seconds"], l.Server["rss_bytes_per_connection"]
	r.RSS, r.Latency = l.Server["rss_bytes"], l.Spread
	if r.Messages == 0 || r.Ticks == 0 {
		return r, fmt.Errorf("%d subscribers: %w", r.Ready, errNothing)
	}
	return r, nil
}

// Waited is the share of the time for which the server was kept from its core by others.
func (r *Run) Waited() float64 { return r.ServerWaited / r.Seconds }

// PerMessage is the server's CPU in µs a message.
func (r *Run) PerMessage() float64 { return r.ServerCPU / float64(r.Messages) * 1e6 }

// PerTick is the server's CPU in ns a delivered tick.
func (r *Run) PerTick() float64 { return r.ServerCPU / float64(r.Ticks) * 1e9 }

// TicksPerMessage is what was wanted to be Cell.Ticks.
func (r *Run) TicksPerMessage() float64 { return float64(r.Ticks) / float64(r.Messages) }
