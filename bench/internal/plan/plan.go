// Package plan forecasts what a number of subscribers takes: nodes, cores, memory and
// bandwidth, from coefficients that were measured on a machine. docs/scaling.md has the
// formula and how far it was off.
package plan

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Coefficients are what a node costs on one kind of core.
type Coefficients struct {
	FrameUS      float64 `json:"frame_us"`       // CPU of a message to a subscriber
	TickNS       float64 `json:"tick_ns"`        // and of each event in it
	IngestNS     float64 `json:"ingest_ns"`      // CPU of an event received from NATS
	WakeUS       float64 `json:"wake_us"`        // and of waking up for those that come together
	TLSFrameUS   float64 `json:"tls_frame_us"`   // CPU of sealing a message, beside the above
	TLSByteNS    float64 `json:"tls_byte_ns"`    // and of each byte in it
	ConnUS       float64 `json:"conn_us"`        // CPU of a connection each second: what the caches forget of it between messages
	ConnBytes    float64 `json:"conn_bytes"`     // resident memory of a connection under load, without its subscriptions
	TLSConnBytes float64 `json:"tls_conn_bytes"` // and of one with TLS
	BaseBytes    float64 `json:"base_bytes"`     // of a node without any
	StreamBytes  float64 `json:"stream_bytes"`   // of a symbol that the node receives
	EventBytes   float64 `json:"event_bytes"`    // of an event received that is kept for a resume
	FitPercent   float64 `json:"fit_percent"`    // how far the fit of the CPU was off where it was made, at most
}

// Load is what is to be served.
type Load struct {
	Subscribers int
	Symbols     int     // that each is subscribed to
	Market      int     // symbols that there are
	Rate        float64 // events a second over the whole market, evenly
	EventBytes  int
	Window      time.Duration
	TLS         bool
	History     time.Duration // how long a node keeps what it received
	Target      float64       // share of a node's cores that may be busy: 0 to 1
	Cores       int           // of a node
	Connections int           // a node takes no more
}

// Validate reports every problem.
func (l *Load) Validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(l.Subscribers < 1, "--subscribers %d is not above 0", l.Subscribers)
	bad(l.Symbols < 1 || l.Symbols > l.Market, "--symbols %d is not 1 to %d, the --market", l.Symbols, l.Market)
	bad(!(l.Rate > 0), "--rate %v is not above 0", l.Rate)
	bad(l.EventBytes < 1, "--event-bytes %d is not above 0", l.EventBytes)
	bad(l.Window < 0, "--window %s is below 0", l.Window)
	bad(l.History < 0, "--history %s is below 0", l.History)
	bad(!(l.Target > 0 && l.Target <= 1), "--target %v is not above 0 and at most 1", l.Target)
	bad(l.Cores < 1, "--cores %d is not above 0", l.Cores)
	bad(l.Connections < 1, "--connections %d is not above 0", l.Connections)
	return errors.Join(errs...)
}

// Forecast is what a load takes. Rates are a second; bits are on the wire.
type Forecast struct {
	Nodes       int `json:"nodes"`
	PerNode     int `json:"subscribers_per_node"`
	LimitedBy   string
	CoresBusy   float64 `json:"cores_busy_per_node"`
	Frames      float64 `json:"messages_per_node"`
	Ticks       float64 `json:"events_per_node"`
	Memory      float64 `json:"memory_bytes_per_node"`
	Payload     float64 `json:"payload_bytes_per_node"` // of WebSocket frames, before TLS
	Egress      float64 `json:"egress_bits_per_node"`
	EgressAll   float64 `json:"egress_bits"`
	MonthlyTB   float64 `json:"egress_tb_a_month"`
	NATSPerNode float64 `json:"nats_bits_per_node"`
	NATSAll     float64 `json:"nats_bits"` // out of the cluster to all nodes, and into it from the feed
}

const (
	// A message begins with a WebSocket head and a batch's; a segment with those of TCP
	// (with timestamps), IP and Ethernet, gaps between frames included.
	messageHead  = 4 + 3
	segmentHead  = 32 + 20 + 38
	segmentBytes = 1448
	// TLS 1.3 puts a head, a type and a tag around each record.
	recordHead  = 5 + 1 + 16
	recordBytes = 16 << 10
	// A NATS message begins with a line, and holds what a stream had in a feed's window.
	natsHead   = 40
	feedWindow = time.Millisecond
	// A node bounds what it keeps, and the collector lets garbage grow as large again.
	historyBytesMax = 2 * 64 << 20
	// A subscription is an entry in the index and one in the session.
	subscriptionBytes = 32

	month = 365.25 / 12 * 24 * 3600
)

// FramesPerSubscriber is how many messages a second one gets that λ events a second come
// for: as many as there are windows with something in them.
func (l *Load) FramesPerSubscriber() float64 {
	each := l.eventsEach()
	w := l.Window.Seconds()
	if w*each < 1e-9 {
		return each
	}
	return (1 - math.Exp(-w*each)) / w
}

func (l *Load) eventsEach() float64 { return l.Rate * float64(l.Symbols) / float64(l.Market) }

// frameBytes is the size of a subscriber's message, before TLS.
func (l *Load) frameBytes() float64 {
	return messageHead + l.eventsEach()/l.FramesPerSubscriber()*float64(l.EventBytes)
}

// sample is the work of a node with n of the subscribers.
func (l *Load) sample(n int) Sample {
	s := Sample{Frames: float64(n) * l.FramesPerSubscriber(), Ticks: float64(n) * l.eventsEach(), Ingest: l.wanted(n), Connections: float64(n)}
	s.Subscriptions, s.Streams, s.Kept = s.Connections*float64(l.Symbols), s.Ingest/l.Rate*float64(l.Market), s.Ingest*l.History.Seconds()
	if l.TLS {
		s.TLSFrames, s.TLSBytes = s.Frames, s.Frames*l.frameBytes()
	}
	return s
}

// CPU returns the cores that a node with n of the subscribers keeps busy.
func (c *Coefficients) CPU(l *Load, n int) float64 { return c.cores(l.sample(n), l.Cores) }

// wanted is how many events a second a node with n subscribers receives: those of symbols
// that at least one of them has.
func (l *Load) wanted(n int) float64 {
	return l.Rate * (1 - math.Pow(1-float64(l.Symbols)/float64(l.Market), float64(n)))
}

// Forecast spreads the load over as few nodes as will do.
func (c *Coefficients) Forecast(l *Load) (Forecast, error) {
	budget := l.Target * float64(l.Cores)
	most := min(l.Connections, l.Subscribers)
	f := Forecast{LimitedBy: "connections"}
	if c.CPU(l, most) > budget {
		f.LimitedBy = "CPU"
		low, high := 0, most // a node with low fits, one with high does not
		for high-low > 1 {
			if mid := (low + high) / 2; c.CPU(l, mid) <= budget {
				low = mid
			} else {
				high = mid
			}
		}
		if low == 0 {
			return f, fmt.Errorf("one subscriber alone keeps %.2f cores busy, a node may have %.2f", c.CPU(l, 1), budget)
		}
		most = low
	}
	f.Nodes = (l.Subscribers + most - 1) / most
	f.PerNode = (l.Subscribers + f.Nodes - 1) / f.Nodes
	s := l.sample(f.PerNode)
	f.CoresBusy, f.Memory = c.cores(s, l.Cores), c.memory(s)
	f.Frames, f.Ticks = s.Frames, s.Ticks
	frame := l.frameBytes()
	f.Payload = f.Frames * frame
	if l.TLS {
		frame += math.Ceil(frame/recordBytes) * recordHead
	}
	f.Egress = 8 * f.Frames * (frame + math.Ceil(frame/segmentBytes)*segmentHead)
	f.EgressAll = f.Egress * float64(f.Nodes)
	f.MonthlyTB = f.EgressAll / 8 * month / 1e12
	perMessage := max(1, l.Rate/float64(l.Market)*feedWindow.Seconds())
	bits := 8 * (float64(l.EventBytes) + natsHead/perMessage)
	f.NATSPerNode = l.wanted(f.PerNode) * bits
	f.NATSAll = f.NATSPerNode*float64(f.Nodes) + l.Rate*bits
	return f, nil
}
