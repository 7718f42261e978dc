// Package logging makes the programs' zap logger.
package logging

import (
	"fmt"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// Options are the two that both programs have.
type Options struct {
	LogLevel  string `default:"info" enum:"debug,info,warn,error" help:"Least severe level logged: debug, info, warn or error."`
	LogFormat string `default:"auto" enum:"auto,console,json" help:"console or json; auto is console on a terminal, else json."`
}

// New makes a logger that writes to standard error. The same message more than 100 times a
// second is thinned out, so that no fault of a peer fills the disk.
func New(o Options) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(o.LogLevel)
	if err != nil {
		return nil, fmt.Errorf("log-level: %w", err)
	}
	cfg := zap.NewProductionConfig()
	cfg.Level = zap.NewAtomicLevelAt(level)
	cfg.Sampling = &zap.SamplingConfig{Initial: 100, Thereafter: 100}
	cfg.DisableStacktrace = true
	cfg.DisableCaller = true
	cfg.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	cfg.EncoderConfig.EncodeDuration = zapcore.StringDurationEncoder
	if o.LogFormat == "console" || o.LogFormat == "auto" && term.IsTerminal(int(os.Stderr.Fd())) {
		cfg.Encoding = "console"
		cfg.EncoderConfig.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		cfg.EncoderConfig.EncodeLevel = zapcore.CapitalColorLevelEncoder
		if !term.IsTerminal(int(os.Stderr.Fd())) {
			cfg.EncoderConfig.EncodeLevel = zapcore.CapitalLevelEncoder
		}
	}
	return cfg.Build()
}

// Ready prints the line by which scripts know that a program serves, with its addresses as
// pairs of name and value. A terminal gets it from the log; elsewhere it goes to standard
// output as well, where it stands alone.
func Ready(log *zap.Logger, pairs ...string) {
	fields := make([]zap.Field, 0, len(pairs)/2)
	line := "ready"
	for i := 0; i+1 < len(pairs); i += 2 {
		fields = append(fields, zap.String(pairs[i], pairs[i+1]))
		line += fmt.Sprintf(" %s=%s", pairs[i], pairs[i+1])
	}
	log.Info("ready", fields...)
	if !term.IsTerminal(int(os.Stdout.Fd())) {
		fmt.Println(line)
	}
}
