package plan

import (
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A core that takes 10 µs a message, 100 ns a tick, 1 µs an ingested one: round numbers.
var round = Coefficients{FrameUS: 10, TickNS: 100, IngestNS: 1000, ConnBytes: 2000, BaseBytes: 50e6}

// One event a second of each of 100 symbols, 10 of which everybody has.
func load(change func(*Load)) *Load {
	l := &Load{Subscribers: 1000, Symbols: 10, Market: 100, Rate: 100, EventBytes: 60, Target: 1, Cores: 1, Connections: 15_000}
	change(l)
	return l
}

func same(got, want [terms]float64) bool {
	for i := range got {
		if math.Abs(got[i]/want[i]-1) > 1e-6 {
			return false
		}
	}
	return true
}

func sameMemory(got, want Coefficients) bool {
	return near(got.BaseBytes, want.BaseBytes) && near(got.ConnBytes, want.ConnBytes) && near(got.TLSConnBytes, want.TLSConnBytes) &&
		near(got.StreamBytes, want.StreamBytes) && near(got.EventBytes, want.EventBytes)
}

func near(got, want float64) bool { return math.Abs(got-want) <= 1e-6*math.Abs(want) }

func TestForecast(t *testing.T) {
	for _, tt := range []struct {
		name    string
		load    *Load
		nodes   int
		limited string
		cores   float64
	}{
		// 1000 subscribers x 10 events x (10 + 0.1 µs), and 100 events received at 1 µs.
		{"without a window each event is a message", load(func(*Load) {}), 1, "connections", 0.1011},
		// 20 messages a second instead of 1000 events, nearly all windows being full.
		{"a window makes few full messages", load(func(l *Load) { l.Rate, l.Window = 10_000, 50*time.Millisecond }), 1, "connections", 0.31},
		{"connections limit", load(func(l *Load) { l.Subscribers, l.Rate = 45_001, 1 }), 4, "connections", 11251*0.1*10.1e-6 + 1e-6},
		{"an event that comes alone wakes the node", load(func(l *Load) { l.Rate = 50 }), 1, "connections", 0.05055},
		{"CPU limits", load(func(l *Load) { l.Subscribers, l.Target = 10_000, 0.5 }), 3, "CPU", 3334*10*10.1e-6 + 1e-4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := round.Forecast(tt.load)
			if err != nil {
				t.Fatal(err)
			}
			if f.Nodes != tt.nodes || f.LimitedBy != tt.limited || !near(f.CoresBusy, tt.cores) {
				t.Errorf("%d nodes, limited by %s, %.6f cores; want %d, %s, %.6f", f.Nodes, f.LimitedBy, f.CoresBusy, tt.nodes, tt.limited, tt.cores)
			}
		})
	}
}

// 1,000 events a second wake a node for 0.1 cores as long as it sleeps; serving takes 1.011.
func TestANodeIsWokenWhereItSleeps(t *testing.T) {
	c := round
	c.WakeUS = 100
	for cores, want := range map[int]float64{2: 1.111 / 1.05, 4: 1.111 / 1.025} {
		l := load(func(l *Load) { l.Rate, l.Cores = 1000, cores })
		if got := c.CPU(l, l.Subscribers); !near(got, want) {
			t.Errorf("%.6f of %d cores busy, want %.6f", got, cores, want)
		}
	}
}

func TestForecastOfBytes(t *testing.T) {
	f, err := round.Forecast(load(func(*Load) {}))
	if err != nil {
		t.Fatal(err)
	}
	// Each of 10,000 messages a second is 7 + 60 bytes in one segment with 90 around it.
	if want := 8 * 10_000.0 * (67 + 90); !near(f.Egress, want) || f.Egress != f.EgressAll {
		t.Errorf("egress %.0f of %.0f bits/s, want %.0f", f.Egress, f.EgressAll, want)
	}
	if want := 50e6 + 1000*(2000+320.0); !near(f.Memory, want) {
		t.Errorf("memory %.0f, want %.0f", f.Memory, want)
	}
	c := round
	c.EventBytes = 500
	for history, want := range map[time.Duration]float64{time.Minute: 100 * 60 * 500, 1000 * time.Hour: historyBytesMax} {
		if kept, err := c.Forecast(load(func(l *Load) { l.History = history })); err != nil || !near(kept.Memory-f.Memory, want) {
			t.Errorf("%s of history take %.0f bytes, %v, want %.0f", history, kept.Memory-f.Memory, err, want)
		}
	}
	if want := 8 * 100.0 * 100; !near(f.NATSPerNode, want) || !near(f.NATSAll, 2*want) {
		t.Errorf("NATS %.0f of %.0f bits/s, want %.0f and twice that", f.NATSPerNode, f.NATSAll, want)
	}
}

func TestALoadThatNoNodeCarriesIsAnError(t *testing.T) {
	if _, err := round.Forecast(load(func(l *Load) { l.Rate = 1e9 })); err == nil {
		t.Error("a node takes a billion events a second")
	}
}

// With TLS the same load takes more of all that TLS takes, and of nothing else.
func TestForecastOfTLS(t *testing.T) {
	c := round
	c.TLSFrameUS, c.TLSByteNS, c.TLSConnBytes = 2, 1, 9000
	plain, err := c.Forecast(load(func(*Load) {}))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := c.Forecast(load(func(l *Load) { l.TLS = true }))
	if err != nil {
		t.Fatal(err)
	}
	// 10,000 messages a second of 67 bytes, one record each.
	if want := plain.CoresBusy + 10_000*(2e-6+67e-9); !near(sealed.CoresBusy, want) {
		t.Errorf("%.6f cores, want %.6f", sealed.CoresBusy, want)
	}
	if want := plain.Memory + 1000*7000; !near(sealed.Memory, want) {
		t.Errorf("memory %.0f, want %.0f", sealed.Memory, want)
	}
	if want := plain.Egress + 8*10_000*22; !near(sealed.Egress, want) {
		t.Errorf("egress %.0f bits/s, want %.0f", sealed.Egress, want)
	}
	if sealed.NATSAll != plain.NATSAll || sealed.Payload != plain.Payload {
		t.Errorf("NATS %.0f and %.0f bits/s, payload %.0f and %.0f", plain.NATSAll, sealed.NATSAll, plain.Payload, sealed.Payload)
	}
}

// What a fit finds is what made the samples.
func TestFitFindsWhatMadeTheSamples(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Coefficients{
			FrameUS: rapid.Float64Range(1, 50).Draw(t, "frame"), TickNS: rapid.Float64Range(5, 500).Draw(t, "tick"), IngestNS: rapid.Float64Range(50, 2000).Draw(t, "ingest"),
			WakeUS:     rapid.Float64Range(1, 100).Draw(t, "wake"),
			TLSFrameUS: rapid.Float64Range(0.1, 10).Draw(t, "sealed"), TLSByteNS: rapid.Float64Range(0.1, 5).Draw(t, "byte"),
			ConnUS:    rapid.Float64Range(0.1, 20).Draw(t, "connection"),
			BaseBytes: rapid.Float64Range(10e6, 50e6).Draw(t, "node"), ConnBytes: rapid.Float64Range(500, 5000).Draw(t, "held for a connection"),
			TLSConnBytes: rapid.Float64Range(5000, 30_000).Draw(t, "held for one with TLS"),
			StreamBytes:  rapid.Float64Range(1000, 30_000).Draw(t, "held for a symbol"), EventBytes: rapid.Float64Range(50, 200).Draw(t, "held for an event"),
		}
		samples := []Sample{
			{Frames: 50_000, Ticks: 50_000, Ingest: 500, Connections: 8000}, {Frames: 50_000, Ticks: 2_500_000, Ingest: 25_000, Connections: 500},
			{Frames: 100, Ticks: 200_000, Ingest: 200_000, Streams: 100, Kept: 600_000}, {Frames: 10, Ticks: 800, Ingest: 800}, {Frames: 10_000, Ticks: 70_000, Ingest: 900}, {Frames: 30_000, Ticks: 90_000, Ingest: 3000, Connections: 2000, Subscriptions: 20_000, Streams: 1000, Kept: 20_000},
			{Frames: 20_000, Ticks: 20_000, Ingest: 500, Connections: 2500, TLSFrames: 20_000, TLSBytes: 1e6}, {Frames: 10_000, Ticks: 1e6, Ingest: 9000, TLSFrames: 10_000, TLSBytes: 60e6},
		}
		for i := range samples {
			samples[i].Cores = 1
			samples[i].Cores = 1 + want.Off(samples[i])/100
			samples[i].Memory = want.memory(samples[i])
		}
		got, err := Fit(samples)
		if err != nil || !same(got.seconds(), want.seconds()) || !sameMemory(got, want) || got.FitPercent > 1e-3 {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	})
}

func TestFitsThatCannotBe(t *testing.T) {
	same := Sample{Frames: 1, Ticks: 1, Ingest: 1, Cores: 1, Memory: 1}
	for _, samples := range [][]Sample{nil, {same, same, same}, {{Frames: 1}}} {
		if _, err := Fit(samples); !errors.Is(err, ErrSamples) {
			t.Errorf("%v: %v", samples, err)
		}
	}
}
