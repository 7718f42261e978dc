// Package version knows which build of the programs runs.
package version

import (
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// stamped is set by the linker: -X github.com/tickcast/tickcast/internal/version.stamped=1.2.3
var stamped string

// String is the version that was stamped, else the module's as Go knows it, "(devel)" for a
// build from a checkout without version control.
func String() string {
	if stamped != "" {
		return stamped
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	return info.Main.Version
}

// Metric tells the version in a label, so that a fleet shows how far an upgrade is.
func Metric() prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tickcast_build_info", Help: "Always 1; the label tells the version.", ConstLabels: prometheus.Labels{"version": String()},
	})
	g.Set(1)
	return g
}
